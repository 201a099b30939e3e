//! The library of family `transform` that the agent loads at run time.
