// SPDX-License-Identifier: Apache-2.0

// Package learn trains and evaluates treatment policies on recorded and
// simulated stays: it fits the Actor that the agent may consult, and it asks of
// any policy what it would have done in recorded stays and what that may have
// been worth.
//
// The package trusts cohort rows to hold only what was known at their decision
// times, and a model's list of the patients it was trained on. It does not
// trust what it estimates: every value carries its effective sample size, and
// one that rests on too few patients is not placed among others.
package learn
