//! The scripts as people call them: a wrong line is answered at once, with what is wrong and how it should be.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn a_wrong_line_is_answered_before_anything_is_built() {
    for (line, answer) in [
        ("demo.sh now", "takes no arguments, not \"now\""),
        ("test.sh --quick", "takes no arguments"),
        ("run_mako_raft_tests.sh smoke", "takes no arguments"),
        ("run_mako_mako_raft_smoke.sh all", "takes no arguments"),
        ("bench.sh --against", "--against needs a commit"),
        ("bench.sh --against no-such-commit", "there is no commit \"no-such-commit\""),
        ("soak.sh ten", "MINUTES takes a whole number, not \"ten\""),
        ("soak.sh --proceses", "takes a whole number, not \"--proceses\""),
        ("soak.sh 5 6", "nothing is done with \"6\""),
        ("soak.sh --processes --rounds", "--rounds needs a value"),
        ("soak.sh --processes --seed x", "--seed takes a whole number, not \"x\""),
        ("soak.sh --processes --fault kill", "no such option: \"--fault\""),
        ("fuzz.sh --minutes", "--minutes needs a value"),
        ("fuzz.sh --minutes long", "--minutes takes a number, not \"long\""),
        ("fuzz.sh --minutes 0", "more than a second"),
        ("fuzz.sh nothing", "no such target: \"nothing\""),
        ("fuzz.sh --fast", "no such option: \"--fast\""),
    ] {
        let mut words = line.split(' ');
        let script = format!("{}/scripts/{}", env!("CARGO_MANIFEST_DIR"), words.next().expect("a script"));
        let output = Command::new(script).args(words).output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(answer), "{line}: {:?} {said}", output.status);
    }
}

#[test]
fn help_that_is_asked_for_is_no_error() {
    let output = Command::new(format!("{}/scripts/bench.sh", env!("CARGO_MANIFEST_DIR"))).arg("--help").output().expect("it starts");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("scripts/bench.sh --against COMMIT"));
}

/// With a cargo and a cmake that only say how it went; that there are others, so that nothing is installed.
#[test]
fn tests_that_can_not_be_built_are_a_failure_in_the_last_line() {
    let tools = tempfile::tempdir().unwrap();
    let cargo = "echo 'test result: ok. 3 passed; 0 failed'";
    let [cmake, compiler, make, installer] = ["exit 1"; 4];
    let fakes = [("cargo", cargo), ("cmake", cmake), ("g++", compiler), ("make", make), ("apt-get", installer), ("sudo", installer)];
    for (name, script) in fakes {
        let path = tools.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:{}", tools.path().display(), std::env::var("PATH").unwrap());
    let script = format!("{}/scripts/test.sh", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(script).env("PATH", path).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said.lines().last(), Some("6 passed, 2 failed"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");
}
