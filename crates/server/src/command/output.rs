//! Standard output.

use std::io::{self, Write};

/// Prints a text, with colours only where they are supported. A reader that closes the pipe early, such as `head`, is not an error.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}
