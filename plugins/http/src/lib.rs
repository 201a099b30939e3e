//! Family `http`.
