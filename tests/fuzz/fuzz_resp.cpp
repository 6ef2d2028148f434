// RESP2: requests and replies that come in pieces are those that come whole.
#include "tests/fuzz/fuzz.hpp"
#include "workloads/lookup/resp.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace tally;
  std::string_view const bytes(reinterpret_cast<char const*>(data), size);
  RespRequest const request = parse_resp_request(bytes);
  if (request.state == RespRequest::State::complete) {
    fuzz::require(request.length > 0 && request.length <= bytes.size(), "a request has bytes");
    RespRequest const alone = parse_resp_request(bytes.substr(0, request.length));
    fuzz::require(alone.state == request.state && alone.words == request.words,
                  "what follows it changes nothing");
    for (std::size_t cut = 0; cut < request.length; ++cut)
      fuzz::require(parse_resp_request(bytes.substr(0, cut)).state == RespRequest::State::incomplete,
                    "less than a request is incomplete");
    for (std::string_view const word : request.words)
      fuzz::require(fuzz::within(word, bytes), "words are of the request");
  }
  RespReply const reply = parse_resp_reply(bytes);
  fuzz::require(fuzz::within(reply.text, bytes), "the text is of the reply");
  if (reply.kind == RespReply::Kind::bulk || reply.kind == RespReply::Kind::null ||
      reply.kind == RespReply::Kind::error) {
    fuzz::require(reply.length > 0 && reply.length <= bytes.size(), "a reply has bytes");
    RespReply const alone = parse_resp_reply(bytes.substr(0, reply.length));
    fuzz::require(alone.kind == reply.kind && alone.text == reply.text, "what follows it changes nothing");
    for (std::size_t cut = 0; cut < reply.length; ++cut)
      fuzz::require(parse_resp_reply(bytes.substr(0, cut)).kind == RespReply::Kind::incomplete,
                    "less than a reply is incomplete");
  }
  std::string out;
  append_resp_bulk(out, bytes);
  RespReply const written = parse_resp_reply(out);
  fuzz::require(
      written.kind == RespReply::Kind::bulk && written.text == bytes && written.length == out.size(),
      "what is written is read");
  return 0;
}
