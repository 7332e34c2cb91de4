//! Embeds the problem pages of `docs/problems`.

use std::fmt::Write as _;
use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR").map_err(std::io::Error::other)?).join("../../docs/problems");
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut names: Vec<String> = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(&folder)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if let Some(stem) = name.strip_suffix(".md") {
                names.push(stem.to_owned());
            }
        }
    }
    names.sort();
    let mut text = String::from("const PROBLEMS: &[(&str, &str)] = &[\n");
    for name in &names {
        let path = folder.join(format!("{name}.md")).canonicalize()?;
        writeln!(text, "    ({name:?}, include_str!({:?})),", path.display().to_string()).map_err(std::io::Error::other)?;
    }
    text.push_str("];\n");
    let out = std::env::var("OUT_DIR").map_err(std::io::Error::other)?;
    std::fs::write(Path::new(&out).join("problems.rs"), text)
}
