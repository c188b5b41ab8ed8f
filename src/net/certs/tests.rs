//! What handshakes find while files come, change, break and go.
