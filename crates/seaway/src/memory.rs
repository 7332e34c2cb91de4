//! The allocator. The C library's own keeps what a busy moment took: 19 MiB for each password hash, 20 MiB from making the
//! description of the API at the start. jemalloc gives free pages back after a second; its settings are in `.cargo/config.toml`.

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
