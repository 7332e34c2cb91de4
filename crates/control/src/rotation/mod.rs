//! Rotation of the master key and of tenants' data keys, online and resumable. Built by helper recovery.
