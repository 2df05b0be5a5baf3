// Compiled only so that a target owns the precompiled header of cmake/test_pch.h.
