//! The same bytes in pieces: whoever reads a stream must not care where the network cut it.

/// Calls `read` with the bytes whole and in pieces of several sizes; every result must be that of the whole.
pub fn same_however_cut<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    read: impl Fn(&mut dyn Iterator<Item = &[u8]>) -> T,
) -> T {
    let whole = read(&mut std::iter::once(bytes));
    let half = bytes.len() / 2;
    for size in [1, 2, 3, 7, half.max(1)] {
        let cut = read(&mut bytes.chunks(size));
        assert_eq!(cut, whole, "in pieces of {size}");
    }
    whole
}
