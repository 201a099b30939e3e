//! Family `sql`.
