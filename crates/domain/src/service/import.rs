//! Import: one code path for files and the directory RPC.
