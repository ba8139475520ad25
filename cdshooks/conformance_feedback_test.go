// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: lines D and G of the checklist: feedback, and working in a ward.

var conformanceFeedback = []line{
	{"D1", "feedback is supported", held("TestFeedbackIsStoredOnceAndJoinedToItsDecision")},
	{"D2", "an object with a feedback array", held("TestFeedbackThatBreaksTheContractIsRefusedWhole/a bare object", "TestFeedbackThatBreaksTheContractIsRefusedWhole/an empty list")},
	{"D3", "several cards and instances in one call", held("TestFeedbackIsStoredOnceAndJoinedToItsDecision")},
	{"D4", "a card's id is opaque text", held("TestVariantsOfFeedbackAreUnderstood/a card id that is no UUID")},
	{"D5", "accepted or overridden", held("TestFeedbackThatBreaksTheContractIsRefusedWhole/an unknown outcome")},
	{"D6", "told twice, stored once", held("TestFeedbackIsStoredOnceAndJoinedToItsDecision")},
	{"D7", "accepted names a suggestion", held("TestFeedbackThatBreaksTheContractIsRefusedWhole/accepted without suggestion")},
	{"D8", "an override needs no reason", held("TestVariantsOfFeedbackAreUnderstood/no reason at all")},
	{"D9", "a reason or a comment", held("TestFeedbackThatBreaksTheContractIsRefusedWhole/a reason without code", "TestFeedbackIsStoredOnceAndJoinedToItsDecision")},
	{"D10", "the members of Epic and of the sandbox", held("TestVariantsOfFeedbackAreUnderstood/Epic: overrideReasons with object", "TestVariantsOfFeedbackAreUnderstood/only an extension with the reason")},
	{"D11", "times with fraction and offset", held("TestVariantsOfFeedbackAreUnderstood/a time with fraction and offset")},
	{"D12", "the same authentication", held("TestFeedbackThatBreaksTheContractIsRefusedWhole")},
	{"D13", "the audience of feedback or of the service", held("TestFeedbackThatBreaksTheContractIsRefusedWhole")},
	{"D14", "a card of this client and service, else an orphan", held("TestOneClientCannotSpeakOfAnothersCards", "TestFeedbackSentToAnotherServiceIsAnOrphan", "TestVariantsOfFeedbackAreUnderstood")},
	{"D15", "200", held("TestFeedbackIsStoredOnceAndJoinedToItsDecision")},
	{"D16", "no feedback is no rejection", held("TestRatesCountTheLastWordAndNeverSilence")},
	{"D17", "a comment is bounded, in the record only", held("TestALongCommentIsCutAndSaysSo", "TestACommentIsInTheRecordAndNowhereElse", "TestACommentIsEncryptedWhereTheSiteHasAKey")},
	{"D18", "no feedback on system actions", not("no system action is ever sent")},
	{"D19", "rates by topic, unit, role and version", held("TestRatesCountTheLastWordAndNeverSilence")},
	{"G1", "p95 within 500 ms, a deadline", held("TestADecisionThatComesLateIsNotGiven", "TestTheRecordedLoadWasAnsweredWithin500Milliseconds")},
	{"G2", "never a partial result in silence", held("TestFaultsEndInAnErrorWithAReceiptAndNeverInSilence/the deadline passes while deciding", "TestADecisionThatComesLateIsNotGiven")},
	{"G3", "load is shed early", held("TestMoreCallsThanAllowedAreTurnedAwayEarly", "TestBodiesThatTogetherWouldFillTheMemoryAreTurnedAway")},
	{"G4", "only guidance that can be acted on", held("TestEachPatientGetsTheAnswerOfTheirState")},
	{"G5", "not at every patient-view", held("TestRepeatsAreSuppressedUntilTheWindowEndsAndFeedbackIsHeeded", "TestAnOrderOfNoConcernNeedsNoChart")},
	{"G6", "few cards, ranked", held("TestDraftedOrdersAreAnswered/two orders told apart, the worse one first")},
	{"G7", "a silent mode that records all the same", held("TestDisplayModesDecideWhatIsShown/silent is the default")},
	{"G8", "a summary that says what to do", held("TestCardsMatchTheirGoldenFiles")},
	{"G9", "repeats are suppressed and counted", held("TestASuppressedRepeatLeavesAReceiptThatNamesTheCardThatStands", "TestMetricsCountDecisionsSuppressionsAndOverrides", "TestAnOverrideSilencesTheTopicUntilTheEvidenceChanges")},
	{"G10", "override rates can be reviewed by topic", held("TestRatesCountTheLastWordAndNeverSilence")},
	{"G11", "an honest indicator", held("TestDraftedOrdersAreAnswered")},
	{"G12", "nothing depends on a card being seen", held("TestAClientThatTriesAgainGetsItsCardAgain", "TestASuppressedRepeatLeavesAReceiptThatNamesTheCardThatStands")},
	{"G13", "container, configuration, code maps of a site", held("TestDockerfileBuildLine", "TestASiteAddsCodesWithoutRecompiling", "TestConfigFiles")},
	{"G14", "out of scope: no recommendation, with the reason", held("TestEachPatientGetsTheAnswerOfTheirState", "TestEveryEndingHasAPageThatSaysWhatWasConcluded")},
}
