// SPDX-License-Identifier: Apache-2.0
#include "ttrpc/session.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace kata::ttrpc {
namespace {

using Clock = Deadline::Clock;
using std::chrono::milliseconds;

const Clock::time_point kNow = Clock::time_point(std::chrono::hours(1000));

std::string RequestFrame(uint32_t id, std::string_view payload = "p",
                         milliseconds timeout = milliseconds(0)) {
  return EncodeRequest(id, "svc", "Do", payload, timeout, {});
}

std::string RawFrame(uint32_t id, uint8_t type, uint8_t flags, std::string_view body) {
  std::string frame;
  AppendHeader(
      {.length = static_cast<uint32_t>(body.size()), .stream_id = id, .type = type, .flags = flags},
      frame);
  return frame.append(body);
}

std::vector<ServerSession::Event> Feed(ServerSession& session, std::string_view bytes) {
  std::vector<ServerSession::Event> events;
  while (auto event = session.Next(bytes, kNow)) events.push_back(std::move(*event));
  EXPECT_TRUE(bytes.empty());
  return events;
}

// "call <id>" or "<code name> <id>" for each event.
std::vector<std::string> Names(const std::vector<ServerSession::Event>& events) {
  std::vector<std::string> names;
  for (const auto& event : events) {
    if (const auto* call = std::get_if<ServerSession::Call>(&event)) {
      names.push_back("call " + std::to_string(call->key.stream_id));
      continue;
    }
    std::string_view bytes = std::get<ServerSession::Refusal>(event).frame;
    FrameDecoder decoder(kMaxPayload);
    const auto frame = decoder.Next(bytes);
    EXPECT_EQ(frame->header.type, kResponse);
    names.push_back(std::string(CodeName(ParseResponse(frame->payload).error().code())) + " " +
                    std::to_string(frame->header.stream_id));
  }
  return names;
}

using Strings = std::vector<std::string>;

TEST(ServerSession, OpensCallsWithWhatTheyCarry) {
  ServerSession session({});
  const auto events = Feed(session, EncodeRequest(1, "svc", "Do", "payload", milliseconds(5),
                                                  {{"namespace", "k8s.io"}}));
  ASSERT_EQ(events.size(), 1u);
  const auto& call = std::get<ServerSession::Call>(events[0]);
  EXPECT_EQ(call.service, "svc");
  EXPECT_EQ(call.method, "Do");
  EXPECT_EQ(call.payload, "payload");
  EXPECT_EQ(call.deadline.when(), kNow + milliseconds(5));
  EXPECT_EQ(call.metadata, (Metadata{{"namespace", "k8s.io"}}));
}

TEST(ServerSession, RefusesEvenAndRepeatedIds) {
  ServerSession session({});
  EXPECT_EQ(Names(Feed(session, RequestFrame(2) + RequestFrame(0) + RequestFrame(5) +
                                    RequestFrame(5) + RequestFrame(3) + RequestFrame(7))),
            (Strings{"INVALID_ARGUMENT 2", "INVALID_ARGUMENT 0", "call 5", "INVALID_ARGUMENT 5",
                     "INVALID_ARGUMENT 3", "call 7"}));
}

TEST(ServerSession, RefusesAnOversizedRequestOnItsStreamAndGoesOn) {
  ServerSession session({.max_payload = 100});
  EXPECT_EQ(Names(Feed(session, RequestFrame(1, std::string(101, 'x')) + RequestFrame(3))),
            (Strings{"RESOURCE_EXHAUSTED 1", "call 3"}));
}

TEST(ServerSession, RefusesWhatDoesNotParseAndStreams) {
  ServerSession session({});
  EXPECT_EQ(Names(Feed(session, RawFrame(1, kRequest, 0, "\x0a\xff") +
                                    RawFrame(3, kRequest, kFlagRemoteOpen, "") +
                                    RawFrame(3, kData, 0, "late data of the refused stream") +
                                    RawFrame(9, kData, 0, "data of no stream"))),
            (Strings{"INVALID_ARGUMENT 1", "UNIMPLEMENTED 3", "INVALID_ARGUMENT 9"}));
}

TEST(ServerSession, DropsResponsesAndUnknownTypes) {
  ServerSession session({});
  EXPECT_EQ(Names(Feed(session, RawFrame(1, kResponse, 0, "x") + RawFrame(1, 0, 0, "x") +
                                    RawFrame(1, 200, 7, "x") + RequestFrame(1))),
            (Strings{"call 1"}));
}

TEST(ServerSession, BoundsTheNumberOfOpenCalls) {
  ServerSession session({.max_calls = 2});
  const auto events = Feed(session, RequestFrame(1) + RequestFrame(3) + RequestFrame(5));
  EXPECT_EQ(Names(events), (Strings{"call 1", "call 3", "RESOURCE_EXHAUSTED 5"}));
  EXPECT_TRUE(session.Finish(std::get<ServerSession::Call>(events[0]).key));
  EXPECT_EQ(Names(Feed(session, RequestFrame(7))), (Strings{"call 7"}));
}

TEST(ServerSession, CallsThatWaitForAnEventDoNotCountAsOpen) {
  ServerSession session({.max_calls = 1, .max_parked = 2});
  CallKey parked{};
  for (const uint32_t id : {1, 3}) {
    const auto events = Feed(session, RequestFrame(id));
    parked = std::get<ServerSession::Call>(events.at(0)).key;
    EXPECT_TRUE(session.Park(parked));
    EXPECT_TRUE(session.Park(parked)) << "once more is no more";
  }
  EXPECT_EQ(session.held_bytes(), 0u);
  EXPECT_EQ(Names(Feed(session, RequestFrame(5) + RequestFrame(7))),
            (Strings{"call 5", "RESOURCE_EXHAUSTED 7"}));
  EXPECT_FALSE(session.Park({.stream_id = 5, .serial = parked.serial + 1}));
  EXPECT_TRUE(session.Finish(parked));
  EXPECT_TRUE(session.Park({.stream_id = 5, .serial = parked.serial + 1}));
  EXPECT_EQ(Names(Feed(session, RequestFrame(9))), (Strings{"call 9"}));
}

TEST(ServerSession, BoundsTheBytesOfOpenCalls) {
  ServerSession session({.max_call_bytes = 1000});
  const auto first = Feed(session, RequestFrame(1, std::string(2000, 'x')));
  EXPECT_EQ(Names(first), (Strings{"call 1"})) << "a single call is always taken";
  EXPECT_EQ(Names(Feed(session, RequestFrame(3))), (Strings{"RESOURCE_EXHAUSTED 3"}));
  EXPECT_LE(session.held_bytes(), 2100u);
  EXPECT_TRUE(session.Finish(std::get<ServerSession::Call>(first[0]).key));
  EXPECT_EQ(session.held_bytes(), 0u);
}

TEST(ServerSession, FinishesACallOnce) {
  ServerSession session({});
  const CallKey key = std::get<ServerSession::Call>(Feed(session, RequestFrame(1))[0]).key;
  EXPECT_TRUE(session.open(key));
  EXPECT_TRUE(session.Finish(key));
  EXPECT_FALSE(session.Finish(key));
  EXPECT_FALSE(session.open(key));
}

TEST(ServerSession, ExpiresCallsInTheOrderOfTheirDeadlines) {
  ServerSession session({});
  Feed(session, RequestFrame(1, "", milliseconds(30)) + RequestFrame(3, "", milliseconds(10)) +
                    RequestFrame(5) + RequestFrame(7, "", milliseconds(-1)));
  EXPECT_EQ(session.next_deadline(), kNow - milliseconds(1));
  EXPECT_EQ(session.Expire(kNow).at(0).stream_id, 7u);
  EXPECT_TRUE(session.Expire(kNow + milliseconds(9)).empty());
  const auto expired = session.Expire(kNow + milliseconds(30));
  ASSERT_EQ(expired.size(), 2u);
  EXPECT_EQ(expired[0].stream_id, 3u);
  EXPECT_EQ(expired[1].stream_id, 1u);
  EXPECT_FALSE(session.Finish(expired[0]));
  EXPECT_EQ(session.next_deadline(), std::nullopt);
  EXPECT_EQ(session.open_calls(), 1u);
}

TEST(ServerSession, TheLongestTimeoutDoesNotOverflow) {
  ServerSession session({});
  Feed(session, EncodeRequest(1, "s", "m", "", std::chrono::nanoseconds::max(), {}) +
                    EncodeRequest(3, "s", "m", "", std::chrono::nanoseconds::min(), {}));
  EXPECT_EQ(session.Expire(kNow).size(), 1u);
  EXPECT_EQ(session.open_calls(), 1u);
}

TEST(ServerSession, AKeyOfBeforeAResetDoesNotAnswerALaterCall) {
  ServerSession session({}, StreamIds::kMayStartOver);
  const CallKey old_key = std::get<ServerSession::Call>(Feed(session, RequestFrame(1))[0]).key;
  Feed(session, RequestFrame(3).substr(0, 7));
  session.Reset();
  EXPECT_EQ(session.open_calls(), 0u);
  const auto events = Feed(session, RequestFrame(1));
  EXPECT_EQ(Names(events), (Strings{"call 1"}));
  EXPECT_FALSE(session.Finish(old_key));
  EXPECT_TRUE(session.Finish(std::get<ServerSession::Call>(events[0]).key));
}

TEST(ServerSession, AnUnnoticedNewClientTakesOverTheIdsOfTheOld) {
  ServerSession session({}, StreamIds::kMayStartOver);
  const auto before = Feed(session, RequestFrame(1) + RequestFrame(3));
  EXPECT_EQ(Names(Feed(session, RequestFrame(1))), (Strings{"call 1"}));
  EXPECT_FALSE(session.open(std::get<ServerSession::Call>(before[0]).key));
  EXPECT_EQ(session.open_calls(), 2u);
  EXPECT_EQ(Names(Feed(session, RequestFrame(3))), (Strings{"call 3"}));
  EXPECT_EQ(session.open_calls(), 2u);
}

TEST(ServerSession, ALinkThatCannotCloseFindsTheNextFrameAfterGarbage) {
  ServerSession session({}, StreamIds::kMayStartOver);
  EXPECT_TRUE(Feed(session, std::string(1000, '\xee')).empty());
  EXPECT_EQ(Names(Feed(session, RequestFrame(1))), (Strings{"call 1"}));
}

std::string StartCall(ClientSession& session, Deadline deadline = Deadline::Never()) {
  return session.Start("svc", "Do", "payload", deadline, {}, kNow).value().frame;
}

struct ClientEvents {
  std::vector<std::pair<uint32_t, Result<std::string>>> ended;
  std::optional<Error> broken;
};

ClientEvents Feed(ClientSession& session, std::string_view bytes) {
  ClientEvents events;
  for (;;) {
    auto ended = session.Next(bytes);
    if (!ended) {
      events.broken = ended.error();
      return events;
    }
    if (!*ended) return events;
    events.ended.emplace_back((*ended)->stream_id, std::move((*ended)->answer));
  }
}

TEST(ClientSession, UsesOddIncreasingIds) {
  ClientSession session({});
  for (const uint32_t id : {1u, 3u, 5u}) {
    EXPECT_EQ(session.Start("s", "m", "", Deadline::Never(), {}, kNow)->stream_id, id);
  }
  ClientSession successor({}, 100);
  EXPECT_EQ(successor.Start("s", "m", "", Deadline::Never(), {}, kNow)->stream_id, 101u);
}

TEST(ClientSession, EndsWithAnErrorWhenItsIdsAreUsedUp) {
  ClientSession session({}, 0xffffffff);
  EXPECT_EQ(session.Start("s", "m", "", Deadline::Never(), {}, kNow)->stream_id, 0xffffffffu);
  EXPECT_EQ(session.Start("s", "m", "", Deadline::Never(), {}, kNow).error().code(),
            Code::kResourceExhausted);
}

TEST(ClientSession, TakesAnswersInAnyOrder) {
  ClientSession session({});
  for (int i = 0; i < 3; ++i) StartCall(session);
  const auto events =
      Feed(session, EncodeReply(5, "five") + EncodeStatus(1, Error(Code::kNotFound, "one")) +
                        EncodeReply(3, "three"));
  ASSERT_EQ(events.ended.size(), 3u);
  EXPECT_EQ(events.ended[0].second.value(), "five");
  EXPECT_EQ(events.ended[1].first, 1u);
  EXPECT_EQ(events.ended[1].second.error().code(), Code::kNotFound);
  EXPECT_EQ(events.ended[2].second.value(), "three");
  EXPECT_EQ(session.open_calls(), 0u);
}

TEST(ClientSession, DropsLateAndRepeatedAnswers) {
  ClientSession session({}, 101);
  StartCall(session);
  EXPECT_TRUE(session.Forget(101));
  EXPECT_FALSE(session.Forget(101));
  const auto events = Feed(session, EncodeReply(101, "late") + EncodeReply(101, "again") +
                                        EncodeReply(7, "for the client before this one"));
  EXPECT_TRUE(events.ended.empty());
  EXPECT_FALSE(events.broken);
}

TEST(ClientSession, AnAnswerThatNobodyAskedForBreaksTheConnection) {
  for (const std::string& frame :
       {EncodeReply(3, "not asked yet"), EncodeReply(2, "even"), EncodeReply(0, "zero"),
        RawFrame(1, kRequest, 0, ""), RawFrame(1, 0, 0, ""), RawFrame(1, 77, 0, "")}) {
    ClientSession session({});
    StartCall(session);
    const auto events = Feed(session, frame);
    ASSERT_TRUE(events.broken);
    EXPECT_EQ(events.broken->code(), Code::kDataLoss);
  }
}

TEST(ClientSession, BadAnswersFailTheirCallOnly) {
  ClientSession session({.max_response = 100});
  for (int i = 0; i < 4; ++i) StartCall(session);
  const auto events =
      Feed(session, RawFrame(1, kResponse, 0, "\xff\xff") + EncodeReply(3, std::string(200, 'x')) +
                        RawFrame(5, kData, 1, "stream") + EncodeReply(7, "good"));
  ASSERT_EQ(events.ended.size(), 4u);
  EXPECT_EQ(events.ended[0].second.error().code(), Code::kInternal);
  EXPECT_EQ(events.ended[1].second.error().code(), Code::kResourceExhausted);
  EXPECT_EQ(events.ended[2].second.error().code(), Code::kUnimplemented);
  EXPECT_EQ(events.ended[3].second.value(), "good");
}

TEST(ClientSession, RefusesCallsBeyondItsLimits) {
  ClientSession session({.max_payload = 100, .max_calls = 1});
  EXPECT_EQ(
      session.Start("s", "m", std::string(101, 'x'), Deadline::Never(), {}, kNow).error().code(),
      Code::kResourceExhausted);
  StartCall(session);
  EXPECT_EQ(session.Start("s", "m", "", Deadline::Never(), {}, kNow).error().code(),
            Code::kResourceExhausted);
}

TEST(ClientSession, TheDeadlineTravelsAndExpires) {
  ClientSession session({});
  ServerSession server({});
  const std::string frame = StartCall(session, Deadline::At(kNow + milliseconds(5)));
  EXPECT_EQ(std::get<ServerSession::Call>(Feed(server, frame)[0]).deadline.when(),
            kNow + milliseconds(5));
  EXPECT_EQ(session.next_deadline(), kNow + milliseconds(5));
  EXPECT_TRUE(session.Expire(kNow).empty());
  EXPECT_EQ(session.Expire(kNow + milliseconds(5)), (std::vector<uint32_t>{1}));
  EXPECT_EQ(session.open_calls(), 0u);
  EXPECT_EQ(session.Start("s", "m", "", Deadline::At(kNow), {}, kNow).error().code(),
            Code::kDeadlineExceeded);
}

TEST(EncodeResponse, AResponseAboveTheBoundBecomesAStatus) {
  const std::string frame = EncodeResponse(1, std::string(200, 'x'), 100);
  EXPECT_LT(frame.size(), 110u);
  EXPECT_EQ(ParseResponse(std::string_view(frame).substr(kHeaderSize)).error().code(),
            Code::kResourceExhausted);
}

}  // namespace
}  // namespace kata::ttrpc
