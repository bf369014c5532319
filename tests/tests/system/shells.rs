//! Output for shells, `man` and pipes, which does not depend on the state of the installation.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::processes::{sqlite, text};

#[test]
fn completions_and_manual_need_no_configuration() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory).with("ACCESS_TOKENS__NONSENSE", "1");
    let script = place.run(&["completions", "bash"]);
    assert!(script.status.success(), "{}", text(&script));
    let file = directory.path().join("completions.bash");
    fs::write(&file, &script.stdout).expect("written");
    // The completions that bash offers after a few letters.
    let asked = r#"source "$1"; COMP_WORDS=(access-tokens re); COMP_CWORD=1
        $(complete -p access-tokens | sed 's/.* -F \([^ ]*\).*/\1/') access-tokens re access-tokens
        printf '%s\n' "${COMPREPLY[@]}""#;
    let offered = Command::new("bash").args(["-euc", asked, "bash"]).arg(&file).output().expect("bash");
    assert!(text(&offered).lines().any(|word| word == "restore"), "{}", text(&offered));
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        assert!(text(&place.run(&["completions", shell])).contains("access-tokens"), "{shell}");
    }
    let page = text(&place.run(&["man"]));
    assert!(page.contains(".TH access-tokens 1") && page.contains("access\\-tokens\\-doctor"), "{page}");
    let written = place.run(&["man", "pages"]);
    assert!(written.status.success(), "{}", text(&written));
    let backup = fs::read_to_string(directory.path().join("pages/access-tokens-backup.1")).expect("a page");
    assert!(backup.contains("Exit codes"), "{backup}");
}

#[test]
fn a_reader_may_close_the_pipe_early() {
    let directory = TempDir::new().expect("a directory");
    let place = sqlite(&directory);
    for arguments in
        [&["check-config"][..], &["check-config", "--markdown"], &["doctor"], &["man"], &["completions", "zsh"]]
    {
        let mut command = place.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("runs");
        // Like `head -0`: the reader is gone before the first byte, or after as much as a pipe holds.
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("ends");
        assert!(ended.status.code() != Some(101), "{arguments:?}: {}", text(&ended));
    }
}
