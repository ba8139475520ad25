// SPDX-License-Identifier: Apache-2.0

package cdshooks

// This file: lines A of the checklist, what the discovery document must be.

var conformanceDiscovery = []line{
	{"A1", "GET {base}/cds-services answers", held("TestDiscoveryIsDeterministicAndFollowsTheContract")},
	{"A2", "an object with a services array, status 200", held("TestDiscoveryIsDeterministicAndFollowsTheContract")},
	{"A3", "no services is an empty array", not("three services are fixed in the program; there is no configuration without one")},
	{"A4", "every service has hook, description and id", held("TestConformanceOfDiscovery/A4: hook, description and id are text")},
	{"A5", "every service has a title", held("TestConformanceOfDiscovery/A5: there is a title")},
	{"A6", "prefetch maps text to text, usageRequirements is text", held("TestConformanceOfDiscovery/A6: prefetch and usageRequirements are text")},
	{"A7", "version of the specification (3.0 only)", held("TestConformanceOfDiscovery/A7: no version is claimed unless configured", "TestTheOverlayOfVersion3IsAnnouncedWhereItIsSet")},
	{"A8", "hookVersion of the published hook (3.0 only)", held("TestConformanceOfDiscovery/A8: no hookVersion is claimed unless configured", "TestTheOverlayOfVersion3IsAnnouncedWhereItIsSet")},
	{"A9", "a service is found by id and hook", held("TestRequestsThatBreakTheContractAreRefusedWithAReceipt/another hook")},
	{"A10", "the id is one segment of a URL", held("TestConformanceOfDiscovery/A10: the id is one segment of a URL")},
	{"A11", "nothing is null or empty", held("TestDiscoveryIsDeterministicAndFollowsTheContract")},
	{"A12", "extension is an object", not("the document carries no extension")},
	{"A13", "tokens of prefetch are of the context only", held("TestConformanceOfDiscovery/A13: prefetch uses plain tokens of the context")},
	{"A14", "no key depends on FHIRPath of 3.0", held("TestConformanceOfDiscovery/A13: prefetch uses plain tokens of the context", "TestPrefetchTemplatesSuitOldClients")},
	{"A15", "variables come after what they need", not("templates use no variables; A13's test refuses them")},
	{"A16", "templates keep to the subset of queries", held("TestPrefetchTemplatesSuitOldClients")},
	{"A17", "templates are relative FHIR queries", held("TestConformanceOfDiscovery/A17: templates are relative and sort as FHIR does")},
	{"A18", "no parameter is repeated", held("TestConformanceOfDiscovery/A18: no parameter is repeated")},
	{"A19", "no more than is read is asked for", held("TestTemplatesAskForEveryCodeThatIsReadAndForNoOther")},
	{"A20", "the same bytes at every call, with an ETag", held("TestDiscoveryIsDeterministicAndFollowsTheContract")},
	{"A21", "a page for people about prefetch", held("TestThePageAboutPrefetchSaysWhatIsSo")},
	{"A22", "discovery may ask for a token", held("TestConformanceOfDiscovery/A22: a client that sends a token is answered too")},
	{"A23", "other errors may be answered", held("TestStatusesOfTheHTTPFrame")},
}
