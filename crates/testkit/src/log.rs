//! A log in memory, and a process of its own for a test that reads its log.

use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// A log in memory. Clones write into the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryLog(Arc<Mutex<Vec<u8>>>);

impl MemoryLog {
    /// Returns everything that was logged so far.
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("a log is text")
    }

    /// Returns the lines that were logged so far.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }
}

impl Write for MemoryLog {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("not poisoned").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns whether this process runs nothing but the test; otherwise runs the test in a process of its own and returns false.
///
/// The first test of a process decides which places of the code log, with or without a recorder, and later tests cannot change it. `module`
/// is the `module_path!()` of the test. Panics if the test fails in its process, or does not exist.
pub fn is_alone(module: &str, test: &str) -> bool {
    const ALONE: &str = "TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let module = module.split_once("::").map_or("", |(_, module)| module);
    let name = format!("{module}::{test}");
    let mut process = Command::new(std::env::current_exe().expect("this program"));
    let output = process.args([&name, "--exact", "--nocapture"]).env(ALONE, "1").output().expect("a process");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("1 passed"), "there is no test {name}: {stdout}");
    false
}
