extension RandomAccessCollection {
  /// The first index whose element satisfies `belongs`, where those that do stand after those that do not.
  package func partitioningIndex(where belongs: (Element) -> Bool) -> Index {
    var (low, length) = (startIndex, count)
    while length > 0 {
      let half = length / 2
      let middle = index(low, offsetBy: half)
      if belongs(self[middle]) {
        length = half
      } else {
        low = index(after: middle)
        length -= half + 1
      }
    }
    return low
  }
}
