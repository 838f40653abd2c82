public import ArgumentParser
public import StreamDiffCore

extension ByteSize: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
}

extension TimeSpan: ExpressibleByArgument {
  public init?(argument: String) { self.init(argument) }
  public var defaultValueDescription: String { description }
}
