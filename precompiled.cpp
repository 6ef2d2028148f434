// A source of no content, with which precompiled.hpp is compiled.
