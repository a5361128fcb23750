//! The command line that `setup` is given, as strings between NULs.

use mako_raft::config::{load, Arguments};

/// The arguments behind the program's name.
pub fn run(bytes: &[u8]) {
    let words = bytes.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let argv: Vec<String> = std::iter::once(String::new()).chain(words).collect();
    match Arguments::parse(&argv) {
        Ok(arguments) => {
            assert!(!arguments.files.is_empty() && !arguments.process.is_empty());
            // Only files that can't be there: what a file says is another target's subject.
            if arguments.files.iter().all(|file| !std::path::Path::new(file).exists()) {
                assert!(load(&argv, &|_| None).is_err());
            }
        }
        Err(error) => {
            let longest = argv.iter().map(String::len).max().unwrap_or(0);
            assert!(error.to_string().len() < 1024 + 8 * longest);
        }
    }
}
