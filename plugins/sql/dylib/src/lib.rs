//! The library of family `sql` that the agent loads at run time.
