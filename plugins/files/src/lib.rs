//! Family `files`.
