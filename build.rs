//! Puts our own versions of two functions of librdkafka in their place (`src/librdkafka/replaced.rs` says why): the
//! linker is told to resolve librdkafka's calls of `NAME` to `__wrap_NAME`.

fn main() {
    println!("cargo:rerun-if-env-changed=CARGO_CFG_TARGET_OS");
    let linux = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "linux");
    if linux {
        for name in ["rd_gz_decompress", "rd_slice_narrow_copy_relative"] {
            println!("cargo:rustc-link-arg=-Wl,--wrap={name}");
        }
    }
}
