// Compiled only so that a target owns the precompiled header of src/concurrency/asio_pch.h.
