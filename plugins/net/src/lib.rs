//! Family `net`.
