// The KeyValue service's Get and Put on grpc C++, over a map in memory: what tools/bench unary stands beside.
#include <grpcpp/grpcpp.h>

#include <iostream>
#include <mutex>
#include <string>
#include <unordered_map>

#include "streamdiff/v1/keyvalue.grpc.pb.h"

using namespace streamdiff::v1;

class Map final : public KeyValue::CallbackService {
  grpc::ServerUnaryReactor* Get(grpc::CallbackServerContext* context, const GetRequest* request, GetResponse* response) override {
    {
      std::lock_guard<std::mutex> hold(lock_);
      auto found = entries_.find(request->key());
      response->set_found(found != entries_.end());
      if (found != entries_.end()) response->set_value(found->second);
      response->set_index(index_);
    }
    return done(context);
  }

  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context, const PutRequest* request, PutResponse* response) override {
    {
      std::lock_guard<std::mutex> hold(lock_);
      entries_[request->key()] = request->value();
      response->set_index(++index_);
    }
    return done(context);
  }

  static grpc::ServerUnaryReactor* done(grpc::CallbackServerContext* context) {
    auto* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  std::mutex lock_;
  std::unordered_map<std::string, std::string> entries_;
  uint64_t index_ = 0;
};

int main() {
  Map service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  auto server = builder.BuildAndStart();
  std::cout << "ready listen=127.0.0.1:" << port << std::endl;
  server->Wait();
}
