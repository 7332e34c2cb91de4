//! Which passwords are taken: length, no composition rules, and no password that others would try first. All checks are
//! offline.

use domain::Secret;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::{CHARACTERS_MAX, CHARACTERS_MIN, CHARACTERS_MIN_WITH_SECOND_FACTOR, SIZE_BYTES_MAX, lists, patterns};

/// Shorter context words are part of too many other words.
const CONTEXT_WORD_LENGTH_MIN: usize = 4;
/// So many letters must be left when the context words are taken out.
const LETTERS_BESIDE_CONTEXT_MIN: usize = 8;
const PRODUCT: &str = "seaway";

/// One reason to refuse a password. The texts are meant for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weakness {
    #[error("use at least {characters_min} characters; a few words in a row are fine")]
    TooShort { characters_min: usize },
    #[error("use at most {CHARACTERS_MAX} characters and {SIZE_BYTES_MAX} bytes")]
    TooLong,
    #[error("this password is on the lists of stolen passwords that attackers try first")]
    Breached,
    #[error("this is little more than a common password with something around it")]
    Common,
    #[error("this is little more than your e-mail address, the organization's name or the name of this product")]
    Context,
    #[error("this repeats the same few characters")]
    Repetition,
    #[error("this is a run of characters that follow each other, such as 12345 or abcde")]
    Sequence,
    #[error("this is a walk over the keyboard")]
    Keyboard,
}

impl Weakness {
    /// The stable code for the API.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooShort { .. } => "too_short",
            Self::TooLong => "too_long",
            Self::Breached => "breached",
            Self::Common => "common",
            Self::Context => "context",
            Self::Repetition => "repetition",
            Self::Sequence => "sequence",
            Self::Keyboard => "keyboard",
        }
    }
}

/// What an attacker who knows the account would try.
#[derive(Debug, Clone, Copy, Default)]
pub struct Context<'a> {
    pub email: &'a str,
    pub name: &'a str,
    pub organization: &'a str,
}

/// The password policy.
#[derive(Debug, Clone, Copy)]
pub struct PasswordPolicy {
    characters_min: usize,
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self { characters_min: CHARACTERS_MIN }
    }
}

impl PasswordPolicy {
    /// A policy with another least length; it is never below that of a password beside a second factor.
    pub fn with_characters_min(characters_min: usize) -> Self {
        Self { characters_min: characters_min.clamp(CHARACTERS_MIN_WITH_SECOND_FACTOR, CHARACTERS_MAX) }
    }

    /// Looks for weaknesses.
    ///
    /// # Errors
    /// All weaknesses that were found; a password of a wrong length is not looked at further.
    pub fn check(&self, password: &Secret<String>, context: &Context<'_>) -> Result<(), Vec<Weakness>> {
        if password.reveal().len() > SIZE_BYTES_MAX {
            return Err(vec![Weakness::TooLong]);
        }
        let normal = Zeroizing::new(password.reveal().nfkc().collect::<String>());
        let count = normal.chars().count();
        if count > CHARACTERS_MAX || normal.len() > SIZE_BYTES_MAX {
            return Err(vec![Weakness::TooLong]);
        }
        if count < self.characters_min {
            return Err(vec![Weakness::TooShort { characters_min: self.characters_min }]);
        }
        let normal = Zeroizing::new(lower(&normal));
        let found = [
            (Weakness::Breached, lists::is_breached(&normal)),
            (Weakness::Common, patterns::is_common_with_decoration(&normal)),
            (Weakness::Context, is_context(&normal, context)),
            (Weakness::Repetition, patterns::is_repetition(&normal)),
            (Weakness::Sequence, patterns::is_sequence(&normal)),
            (Weakness::Keyboard, patterns::is_keyboard_walk(&normal)),
        ];
        let found: Vec<Weakness> = found.into_iter().filter(|(_, is)| *is).map(|(weakness, _)| weakness).collect();
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

/// Lower case of NFKC, again in NFKC: the form in which the lists were built.
fn lower(text: &str) -> String {
    text.to_lowercase().nfkc().collect()
}

fn is_context(password: &str, context: &Context<'_>) -> bool {
    let known = lower(&format!("{PRODUCT} {} {} {}", context.email, context.name, context.organization));
    let mut words: Vec<&str> = known
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| word.chars().count() >= CONTEXT_WORD_LENGTH_MIN)
        .collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let rest = words.iter().fold(password.to_owned(), |rest, word| rest.replace(word, "\u{0}"));
    rest.contains('\u{0}') && rest.chars().filter(|character| character.is_alphabetic()).count() < LETTERS_BESIDE_CONTEXT_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTEXT: Context<'_> = Context { email: "margarethe@lighthouse.example", name: "Margarethe Ito", organization: "Harbor Ämter" };

    fn check(password: &str) -> Result<(), Vec<Weakness>> {
        PasswordPolicy::default().check(&Secret::new(password.to_owned()), &CONTEXT)
    }

    #[test]
    fn good_passwords_are_taken() {
        for password in [
            "lantern over quiet water",
            "xK9#mQ2$vL7@pR4!",
            "7f3b91c04e5d82a6",
            "correct-donkey-accumulator-nail",
            "ein ruhiger abend am fluss",
            "пять зелёных яблок на столе",
            "海の上の静かな夜に灯台が光っている",
            "seaway trembles beneath frozen lanterns",
            "🦀🚢🌊🔑🏝🐙🪼🦑⚓🛟🧭🗺🌅🐚🐠",
        ] {
            assert_eq!(check(password), Ok(()), "{password}");
        }
    }

    #[test]
    fn each_weakness_is_found() {
        for (password, weakness) in [
            ("short", Weakness::TooShort { characters_min: CHARACTERS_MIN }),
            ("fourteen chars", Weakness::TooShort { characters_min: CHARACTERS_MIN }),
            ("passwordpassword", Weakness::Breached),
            ("PasswordPassword", Weakness::Breached),
            ("ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ", Weakness::Breached),
            ("password20261122", Weakness::Common),
            ("P@ssw0rd!!!!!!!!", Weakness::Common),
            ("2026-sunshine-2026", Weakness::Common),
            ("dragonsunshine77", Weakness::Common),
            ("margarethe123456", Weakness::Context),
            ("Seaway-2026-2026!", Weakness::Context),
            ("lighthouse.example", Weakness::Context),
            ("HarborÄmter2026!!", Weakness::Context),
            ("aaaaaaaaaaaaaaaaaaaa", Weakness::Repetition),
            ("xkqzvxkqzvxkqzvxkq", Weakness::Repetition),
            ("abcdefghijklmnop", Weakness::Sequence),
            ("98765432109876543210", Weakness::Sequence),
            ("qwertyuiopasdfghjkl", Weakness::Keyboard),
            ("1qaz2wsx3edc4rfv5tgb", Weakness::Keyboard),
            ("asdfghjklqwertzuiop", Weakness::Keyboard),
        ] {
            let found = check(password).expect_err(password);
            assert!(found.contains(&weakness), "{password}: {found:?}");
        }
        let long = "ab cd ef gh ij kl".repeat(16);
        assert_eq!(check(&long), Err(vec![Weakness::TooLong]));
        assert_eq!(check(&"x".repeat(5000)), Err(vec![Weakness::TooLong]));
    }

    #[test]
    fn length_counts_characters_not_bytes_and_has_a_floor() {
        assert!(matches!(check("äöüß äöüß äöüß"), Err(found) if matches!(found[..], [Weakness::TooShort { .. }])));
        let relaxed = PasswordPolicy::with_characters_min(1);
        let found = relaxed.check(&Secret::new("kV9#x".to_owned()), &CONTEXT);
        assert_eq!(found, Err(vec![Weakness::TooShort { characters_min: 8 }]));
        assert_eq!(relaxed.check(&Secret::new("kV9#xT2w".to_owned()), &CONTEXT), Ok(()));
        let found = relaxed.check(&Secret::new("letmein1".to_owned()), &CONTEXT).expect_err("common");
        assert!(found.contains(&Weakness::Common));
    }
}
