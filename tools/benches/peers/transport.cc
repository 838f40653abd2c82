// One stream between two processes on grpc C++: what tools/bench transport stands beside. The commands are those
// of tools/transport. One completion queue and one thread at each end. `bytes` and `echo` stay as they are
// (ByteBuffer); `chunks` are messages of the contract, serialized and parsed as generated code does it, with a
// checksum that is made at one end and held against the bytes at the other.
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <isa-l/crc.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "streamdiff/v1/streamdiff.pb.h"

namespace {

using streamdiff::v1::StreamDiffRequest;
using streamdiff::v1::StreamDiffResponse;

using Clock = std::chrono::steady_clock;

// Messages for each acknowledgement.
constexpr size_t kAcknowledged = 16;

enum Tag : intptr_t { kStarted = 1, kRead, kWritten, kDone, kCall };

void* tag(Tag value) { return reinterpret_cast<void*>(value); }

[[noreturn]] void fail(const std::string& reason) {
  std::cerr << reason << std::endl;
  std::exit(1);
}

grpc::ByteBuffer message(const std::string& bytes) {
  grpc::Slice slice(bytes.data(), bytes.size(), grpc::Slice::STATIC_SLICE);
  return grpc::ByteBuffer(&slice, 1);
}

template <class Message>
grpc::ByteBuffer serialized(const Message& message) {
  grpc::ByteBuffer bytes;
  bool own;
  if (!grpc::SerializationTraits<Message>::Serialize(message, &bytes, &own).ok()) fail("cannot serialize");
  return bytes;
}

uint32_t checksum(const std::string& bytes) {
  auto* start = reinterpret_cast<unsigned char*>(const_cast<char*>(bytes.data()));
  return ~crc32_iscsi(start, static_cast<int>(bytes.size()), ~0u);
}

void set_checksum(StreamDiffRequest& chunk) {
  auto* header = chunk.mutable_chunk();
  header->set_plain_length(chunk.diff_patch().size());
  header->set_wire_crc32c(checksum(chunk.diff_patch()));
}

void take(grpc::ByteBuffer& bytes) {
  StreamDiffRequest chunk;
  if (!grpc::SerializationTraits<StreamDiffRequest>::Deserialize(&bytes, &chunk).ok()) fail("no chunk");
  if (checksum(chunk.diff_patch()) != chunk.chunk().wire_crc32c()) fail("a chunk was damaged");
}

grpc::ByteBuffer acknowledgement(size_t messages) {
  StreamDiffResponse response;
  response.mutable_ack()->set_ordinal(messages);
  return serialized(response);
}

// One call after the other.
void serve() {
  grpc::AsyncGenericService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterAsyncGenericService(&service);
  auto queue = builder.AddCompletionQueue();
  auto server = builder.BuildAndStart();
  if (!server) fail("cannot listen");
  std::cout << "ready listen=127.0.0.1:" << port << std::endl;
  const std::string word(8, 'a');
  void* got;
  bool ok;
  while (true) {
    grpc::GenericServerContext context;
    grpc::GenericServerAsyncReaderWriter stream(&context);
    service.RequestCall(&context, &stream, queue.get(), queue.get(), tag(kCall));
    grpc::ByteBuffer incoming;
    bool echoes = false, chunks = false, writing = false, ended = false, finishing = false;
    size_t messages = 0, due = 0;
    while (queue->Next(&got, &ok)) {
      const Tag what = static_cast<Tag>(reinterpret_cast<intptr_t>(got));
      if (what == kDone) break;
      if (what == kCall) {
        echoes = context.method() == "/bench.Transport/echo";
        chunks = context.method() == "/bench.Transport/chunks";
        stream.Read(&incoming, tag(kRead));
      } else if (what == kRead && !ok) {
        ended = true;
      } else if (what == kRead) {
        if (echoes) {
          writing = true;
          stream.Write(incoming, tag(kWritten));
        } else {
          if (chunks) take(incoming);
          if (++messages % kAcknowledged == 0) ++due;
        }
        stream.Read(&incoming, tag(kRead));
      } else if (what == kWritten) {
        writing = false;
      }
      if (!writing && due > 0) {
        writing = true;
        --due;
        stream.Write(chunks ? acknowledgement(messages) : message(word), tag(kWritten));
      }
      if (ended && !writing && !finishing) {
        finishing = true;
        stream.Finish(grpc::Status::OK, tag(kDone));
      }
    }
  }
}

double seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

void send(const std::string& address, const std::string& work, size_t bytes, double length, size_t ahead) {
  const bool echoes = work == "echo", chunks = work == "chunks";
  grpc::ChannelArguments arguments;
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
  grpc::GenericStub stub(channel);
  grpc::CompletionQueue queue;
  grpc::ClientContext context;
  auto stream = stub.PrepareCall(&context, "/bench.Transport/" + work, &queue);
  stream->StartCall(tag(kStarted));
  const std::string word(bytes, 'Z');
  const grpc::ByteBuffer outgoing = message(word);
  grpc::ByteBuffer incoming;
  grpc::Status status;
  const auto warm = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(length / 4));
  const auto end = warm + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(length));
  std::optional<std::pair<Clock::time_point, size_t>> at_warm, at_end;
  std::vector<double> times;
  Clock::time_point departed;
  size_t sent = 0, acknowledged = 0;
  bool writing = true, closed = false;
  void* got;
  bool ok;
  while (queue.Next(&got, &ok)) {
    const Tag what = static_cast<Tag>(reinterpret_cast<intptr_t>(got));
    if (what == kDone) break;
    if (what == kRead && !ok) {
      stream->Finish(&status, tag(kDone));
      continue;
    }
    if (!ok) fail("the call broke");
    if (what == kStarted) {
      writing = false;
      stream->Read(&incoming, tag(kRead));
    } else if (what == kRead) {
      const auto now = Clock::now();
      if (echoes) {
        if (incoming.Length() != bytes) fail("a message did not come back");
        acknowledged += 1;
        if (departed >= warm) times.push_back(seconds(now - departed) * 1e6);
      } else {
        StreamDiffResponse response;
        if (chunks && !grpc::SerializationTraits<StreamDiffResponse>::Deserialize(&incoming, &response).ok()) {
          fail("not an acknowledgement");
        }
        acknowledged += kAcknowledged;
        if (!at_warm && now >= warm) at_warm = {now, acknowledged};
        if (now <= end || !at_end) at_end = {now, acknowledged};
      }
      stream->Read(&incoming, tag(kRead));
    } else {
      writing = false;
    }
    if (writing || closed) continue;
    const bool over = sent % (echoes ? 1 : 64) == 0 && Clock::now() >= end;
    if (over && echoes && acknowledged < sent) continue;
    writing = true;
    if (over) {
      closed = true;
      stream->WritesDone(tag(kWritten));
    } else if (sent - acknowledged < ahead) {
      departed = Clock::now();
      ++sent;
      if (chunks) {
        StreamDiffRequest chunk;
        chunk.set_diff_patch(word);
        chunk.set_sequence_id(sent);
        set_checksum(chunk);
        stream->Write(serialized(chunk), tag(kWritten));
      } else {
        stream->Write(outgoing, tag(kWritten));
      }
    } else {
      writing = false;
    }
  }
  if (!status.ok()) fail(status.error_message());
  if (echoes) {
    std::sort(times.begin(), times.end());
    std::printf("{\"trips\": %zu, \"p50_us\": %.3f, \"p99_us\": %.3f, \"all\": %zu}\n", times.size(),
                times[times.size() / 2], times[times.size() * 99 / 100], sent);
    return;
  }
  if (!at_warm || !at_end || at_end->second <= at_warm->second) fail("nothing was acknowledged");
  if (sent - acknowledged >= kAcknowledged) fail("not all was acknowledged");
  std::printf("{\"messages\": %zu, \"seconds\": %.6f, \"all\": %zu}\n", at_end->second - at_warm->second,
              seconds(at_end->first - at_warm->first), sent);
}

}  // namespace

int main(int count, char** words) {
  if (count == 2 && std::strcmp(words[1], "serve") == 0) {
    serve();
  } else if (count == 7 && std::strcmp(words[1], "send") == 0) {
    send(words[2], words[3], std::strtoul(words[4], nullptr, 10), std::strtod(words[5], nullptr),
         std::strtoul(words[6], nullptr, 10));
  } else {
    fail("serve | send HOST:PORT chunks|bytes|echo BYTES SECONDS AHEAD");
  }
}
