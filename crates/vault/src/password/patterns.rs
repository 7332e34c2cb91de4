//! Patterns that make a long password weak: repetition, runs of characters, walks over the keyboard, and a common word or
//! two with digits around. All functions take normalised text (NFKC, lower case).

use std::collections::BTreeSet;

use super::lists;

/// Fewer different characters than this are no password, however long.
const DISTINCT_CHARACTERS_MIN: usize = 5;
/// From this share of neighbouring pairs on, in sixths, a text is a run or a walk.
const PATTERN_SIXTHS: usize = 4;
/// A shorter part of a text is not looked up as a word of its own.
const WORD_LENGTH_MIN: usize = 3;

/// Rows and columns of the keyboards people walk over: QWERTY, QWERTZ, AZERTY.
const KEYBOARD: &[&str] = &[
    "qwertyuiop[]",
    "asdfghjkl;'",
    "zxcvbnm,./",
    "qwertzuiop",
    "yxcvbnm",
    "azertyuiop",
    "qsdfghjklm",
    "wxcvbn",
    "1234567890-=",
    "!@#$%^&*()_+",
    "1qaz",
    "2wsx",
    "3edc",
    "4rfv",
    "5tgb",
    "6yhn",
    "7ujm",
    "8ik,",
    "9ol.",
    "0p;/",
];

pub(super) fn is_repetition(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    if characters.iter().collect::<BTreeSet<_>>().len() < DISTINCT_CHARACTERS_MIN {
        return true;
    }
    // A text of period p equals itself shifted by p; at least two whole periods must fit.
    (1..=characters.len() / 2).any(|period| characters.iter().zip(characters.iter().skip(period)).all(|(a, b)| a == b))
}

pub(super) fn is_sequence(text: &str) -> bool {
    is_mostly(text, |one, next| matches!(i64::from(u32::from(next)) - i64::from(u32::from(one)), -1..=1))
}

pub(super) fn is_keyboard_walk(text: &str) -> bool {
    is_mostly(text, |one, next| {
        one == next
            || KEYBOARD.iter().any(|row| {
                let mut pairs = row.chars().zip(row.chars().skip(1));
                pairs.any(|pair| pair == (one, next) || pair == (next, one))
            })
    })
}

/// Whether the text is one common word, or two, with digits and signs around, also with the usual replacements (`p@ssw0rd`).
pub(super) fn is_common_with_decoration(text: &str) -> bool {
    let bare = text.trim_matches(|character: char| !character.is_alphabetic());
    // Signs at the ends may be replaced letters as well: trim digits only.
    let replaced = plain_letters(text.trim_matches(|character: char| character.is_ascii_digit()));
    let replaced = replaced.trim_matches(|character: char| !character.is_alphabetic());
    let unreplaced = plain_letters(bare);
    [bare, unreplaced.as_str(), replaced].into_iter().any(is_one_or_two_common)
}

fn is_one_or_two_common(text: &str) -> bool {
    if text.len() < WORD_LENGTH_MIN {
        return false;
    }
    let joined: String = text.chars().filter(|character| character.is_alphanumeric()).collect();
    lists::is_common(&joined)
        || joined.char_indices().map(|(place, _)| joined.split_at(place)).any(|(one, two)| {
            one.len() >= WORD_LENGTH_MIN && two.len() >= WORD_LENGTH_MIN && lists::is_common(one) && lists::is_common(two)
        })
}

fn plain_letters(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '@' | '4' => 'a',
            '0' => 'o',
            '1' | '!' => 'i',
            '3' => 'e',
            '$' | '5' => 's',
            '7' => 't',
            other => other,
        })
        .collect()
}

fn is_mostly(text: &str, neighbours: impl Fn(char, char) -> bool) -> bool {
    let pairs = text.chars().zip(text.chars().skip(1));
    let (hits, all) = pairs.fold((0, 0), |(hits, all), (one, next)| (hits + usize::from(neighbours(one, next)), all + 1));
    all > 0 && hits * 6 >= all * PATTERN_SIXTHS
}
