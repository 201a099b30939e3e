//! Family `aggregate`.
