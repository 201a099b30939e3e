//! The library of family `formats` that the agent loads at run time.
