//! Standard output.

use std::io::{self, Write};

use access_tokens_domain::time::Timestamp;

/// Prints a text, with colours only where they are supported. A reader that closes the pipe early, such as `head`, is not an error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Formats a date for the output of a command.
pub(super) fn shown(date: Timestamp) -> String {
    date.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
