//! Standard output, whoever reads it.

use std::io::{self, Write};

/// Says a text, without colours where they are not wanted. Whoever has heard enough, such as `head`, may go.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = anstream::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}
