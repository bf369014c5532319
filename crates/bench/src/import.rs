//! The rate at which the command `import` imports new cards.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

use anyhow::Result;

use crate::environment::Environment;
use crate::seed;

const IMPORTED_CARDS: u64 = 200_000;

/// Returns the number of cards per second, from the start of the command to its end.
pub(crate) fn rate(environment: &Environment) -> Result<f64> {
    let path = environment.directory().join("cards.ndjson");
    let mut file = BufWriter::new(File::create(&path)?);
    let owners = seed::owners(environment.tokens);
    for n in 1..=IMPORTED_CARDS {
        writeln!(file, "{}", seed::card(n, 1 + n % owners))?;
    }
    file.into_inner()?;
    let started = Instant::now();
    environment.import(seed::ORGANISATION, &path)?;
    Ok(IMPORTED_CARDS as f64 / started.elapsed().as_secs_f64())
}
