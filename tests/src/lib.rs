//! What crosses crates: end-to-end tests, conformance, benchmarks.
