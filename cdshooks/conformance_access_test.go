// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: lines F and H of the checklist: reading the EHR, and what the
// Inferno test kit asks of a server. Inferno itself was not run: H lines are
// held by tests of ours that ask the same.

var conformanceAccess = []line{
	{"F1", "every FHIR request carries the call's token", held("TestMissingDataAreFetchedFromTheRegisteredServerWithThisCallsToken")},
	{"F2", "no more than the user may see", held("TestAScopeThatLeavesNecessaryDataOutIsNamedAndNobodyIsAsked", "TestATokenIsUsedForItsPatientItsTimeAndItsScopeOnly")},
	{"F3", "our own right never widens the user's", held("TestATokenOfTheCallIsUsedAndNeverMadeUpForByOurOwn")},
	{"F4", "the token lives no longer than the call", held("TestTheAccessTokenIsNowhereAfterTheCall", "TestATokenThatExpiresDuringTheCallIsSaidToHave")},
	{"F5", "nothing is read after the answer", held("TestTheAccessTokenIsNowhereAfterTheCall")},
	{"F6", "scopes of version 1, 2 and of vendors", held("TestScopesThatWereGrantedAreRead", "TestConformanceOfRequests/B7: Epic's scopes are taken")},
	{"F7", "searches at once, bounded, by POST where long", held("TestMissingKeysAreSearchedAllAtOnce", "TestLongSearchesGoByPostAndWhereThatIsRefusedInParts", "TestWeAskForTheDaysThatMatter")},
	{"F8", "no reference to another server is followed", held("TestOnlyLinksWithinTheRegisteredServerAreFollowed")},
	{"F9", "a time limit and a breaker for each server", held("TestAServerThatKeepsFailingIsLeftAloneAndTriedAgain", "TestAnEHRThatIsDownIsLeftAloneAndTheCallerIsTold")},
	{"F10", "our key set is public, our keys rotate", held("TestOurKeySetIsServedToEverybody", "TestTheKeySetHasPublicHalvesOnlyAndOldKeysUntilTheirEnd")},
	{"F11", "RS384 and ES384", held("TestAServerWeDidNotWriteGrantsBothAlgorithms")},
	{"F12", "discovery of the token endpoint", held("TestDiscoveryDocuments", "TestFaultsOfDiscoveryItself")},
	{"F13", "TLS 1.2 or newer towards the EHR", held("TestAServerThatSpeaksOldTLSIsNotSpokenTo")},
	{"F14", "the claims of an assertion, each used once", held("TestARequestHasWhatSMARTAsksForAndNothingElse", "TestAServerWeDidNotWriteTakesEachAssertionOnce")},
	{"F15", "the form of a token request", held("TestARequestHasWhatSMARTAsksForAndNothingElse")},
	{"F16", "scopes of exactly what is read", held("TestReadsAreExactlyTheTypesOfTheTemplates")},
	{"F17", "the granted scope and life are honoured", held("TestTheLifeThatTheEHRGivesIsKept", "TestAChartIsNotReadWhenTheGrantIsTooSmall")},
	{"F18", "a token is kept, shared and renewed", held("TestATokenIsKeptAndRenewedBeforeItEnds", "TestCallersShareOneRequestAndOneWhoGivesUpDoesNotEndIt", "TestARefusedTokenIsRenewedOnce")},
	{"F19", "nothing is written to the EHR", held("TestAnEHRIsNeverAskedToWrite")},
	{"H1", "TLS 1.2", held("TestServeShowsItsOwnCertificateAndReadsItAgain")},
	{"H2", "discovery answers 200 with JSON", held("TestDiscoveryIsDeterministicAndFollowsTheContract")},
	{"H3", "hook, description and id are text", held("TestConformanceOfDiscovery/A4: hook, description and id are text")},
	{"H4", "every body gets 200 and JSON", held("TestEachPatientGetsTheAnswerOfTheirState")},
	{"H5", "one token for several bodies", not("a token is used once (E16); Inferno must be given one body for each hook")},
	{"H6", "the tester's own request", not("Inferno checks its own bodies there")},
	{"H7", "the shape of cards, with a topic", held("FuzzValidate")},
	{"H8", "the shape of what is optional on a card", held("FuzzValidate")},
	{"H9", "a card with absolute links only", held("TestConformanceOfResponses/C39: a link names no patient and leads to us")},
	{"H10", "a card with a SMART link", not("optional, and there is no SMART app")},
	{"H11", "a card with neither links nor suggestions", not("every card links to its evidence")},
	{"H12", "coverage information", not("of payers; systemActions would have to be made up")},
	{"H13", "an alternative to an order", not("optional; alternatives are in words, no order is replaced")},
	{"H14", "additional orders", not("optional; the one draft there is, of a bolus, is no CRD profile")},
	{"H15", "a form to complete", not("of payers")},
	{"H16", "a coverage created or updated", not("of payers")},
}
