//! The one place of the operator's verbs that prints.

pub const FAILED: u8 = 1;

/// A line for the person at the terminal.
#[expect(clippy::print_stdout, reason = "the output of a verb")]
pub fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// A remark beside the output: not part of what a script reads.
#[expect(clippy::print_stderr, reason = "remarks of a verb")]
pub fn remark(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// An error with its causes, each once.
pub fn error(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(&format!("\n  because: {cause}"));
        }
    }
    remark(text);
}
