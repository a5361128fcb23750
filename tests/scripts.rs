//! The scripts as people call them: a wrong line is answered at once, with what is wrong and how it should be.

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
