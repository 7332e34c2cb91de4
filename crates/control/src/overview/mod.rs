//! Being built by the lead (credentials, uploads, tags, search, overview): leave these five to him, API included.
