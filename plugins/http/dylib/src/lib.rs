//! The library of family `http` that the agent loads at run time.
