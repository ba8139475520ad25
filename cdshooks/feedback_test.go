// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/engine"
	"github.com/sepsisagent/sepsisagent/engine/physiology"
)

const feedbackPath = servicePath + "/feedback"

func (c *clinic) feedback(items ...map[string]any) reply {
	c.t.Helper()
	raw, err := json.Marshal(map[string]any{"feedback": items})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.post(feedbackPath, raw, nil)
}

const moment = "2026-03-01T09:05:00Z"

func accepted(card Card) map[string]any {
	return map[string]any{
		"card": card.UUID, "outcome": "accepted", "outcomeTimestamp": moment,
		"acceptedSuggestions": []any{map[string]string{"id": card.Suggestions[0].UUID}},
	}
}

func overridden(card string, reason map[string]any) map[string]any {
	out := map[string]any{"card": card, "outcome": "overridden", "outcomeTimestamp": moment}
	for k, v := range reason {
		out[k] = v
	}
	return out
}

func TestFeedbackIsStoredOnceAndJoinedToItsDecision(t *testing.T) {
	c := open(t, nil)
	first := c.view(physiology.SepticShock, nil).cards()[0]
	second := c.view(physiology.Improving, nil).cards()[0]
	batch := []map[string]any{accepted(first), overridden(second.UUID, map[string]any{"overrideReason": map[string]any{
		"reason":      map[string]string{"code": "patient-contraindication", "system": "http://terminology.hl7.org/CodeSystem/non-adherence-reason-codes"},
		"userComment": "arrhythmia <script>",
	}})}
	for range 3 {
		if r := c.feedback(batch...); r.status != 200 || len(r.body) != 0 {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: KindFeedback, OldestFirst: true})
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d entries for two items sent three times, %v", len(rows), err)
	}
	decisions := c.records(KindDecision)
	for i, outcome := range []string{"accepted", "overridden"} {
		ix := rows[i].Index
		if ix.Refers != decisions[i].ID || ix.Outcome != outcome || ix.Patient != decisions[i].Request.Patient || ix.Topic == "" || ix.Model == "" {
			t.Errorf("entry %d is not joined to its decision: %+v", i, ix)
		}
	}
	items := c.records(KindFeedback)
	if items[1].Feedback.Comment != "arrhythmia <script>" || items[1].Feedback.Reason.Code != "patient-contraindication" {
		t.Errorf("%+v", items[1].Feedback)
	}
	if n := len(c.records(KindBatch)); n != 3 {
		t.Errorf("%d receipts for three feedback calls", n)
	}
	prior, err := c.service.prior(context.Background(), clinicNow, &RequestMeta{Service: ServiceID, Client: "ehr", User: "Practitioner/dr-1", Patient: decisions[1].Request.Patient})
	if err != nil || len(prior) != 1 || prior[0].Outcome != OutcomeOverridden || !prior[0].Shown {
		t.Errorf("the next decision does not know: %+v, %v", prior, err)
	}
}

func TestAnOverrideSilencesTheTopicUntilTheEvidenceChanges(t *testing.T) {
	c := open(t, nil)
	card := c.view(physiology.Improving, nil).cards()[0]
	if r := c.feedback(overridden(card.UUID, nil)); r.status != 200 {
		t.Fatal(r.status)
	}
	if again := c.view(physiology.Improving, nil).cards(); len(again) != 0 {
		t.Error("the overridden advice came again")
	}
	records := c.records(KindDecision)
	if got := records[len(records)-1].Receipt.Outcome.Suppressed; got != engine.SuppressedOverridden {
		t.Errorf("suppressed because %q", got)
	}
}

func TestVariantsOfFeedbackAreUnderstood(t *testing.T) {
	c := open(t, nil)
	coding := map[string]string{"code": "1", "system": "urn:oid:1.2"}
	for name, item := range map[string]map[string]any{
		"no reason at all":                    overridden("a", nil),
		"Epic: overrideReasons with object":   overridden("b", map[string]any{"overrideReasons": map[string]any{"reason": coding}}),
		"overrideReasons with a list":         overridden("c", map[string]any{"overrideReasons": []any{map[string]any{"reason": coding}}}),
		"the sandbox: reason without display": overridden("d", map[string]any{"overrideReason": map[string]any{"reason": coding}}),
		"a bare coding":                       overridden("e", map[string]any{"overrideReason": coding}),
		"a card id that is no UUID":           overridden("123456", nil),
		"a time with fraction and offset":     {"card": "f", "outcome": "overridden", "outcomeTimestamp": "2026-03-01T10:05:00.123+01:00"},
		"only an extension with the reason":   overridden("g", map[string]any{"extension": map[string]any{"com.epic.cdshooks.feedback.overrideReason.x": "y"}}),
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if r := c.feedback(item); r.status != 200 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	rows, _ := c.log.Query(context.Background(), audit.Filter{Kind: KindFeedback, Reason: "orphan"})
	if len(rows) != 8 {
		t.Errorf("%d of 8 unknown cards are kept as orphans", len(rows))
	}
}

func TestFeedbackThatBreaksTheContractIsRefusedWhole(t *testing.T) {
	c := open(t, nil)
	good := overridden("a", nil)
	for name, body := range map[string]string{
		"a bare object":                  `{"card":"a","outcome":"overridden","outcomeTimestamp":"` + moment + `"}`,
		"an empty list":                  `{"feedback":[]}`,
		"a list at the top":              `[]`,
		"not JSON":                       `{"feedback":`,
		"an unknown outcome":             `{"feedback":[{"card":"a","outcome":"ignored","outcomeTimestamp":"` + moment + `"}]}`,
		"no card":                        `{"feedback":[{"outcome":"overridden","outcomeTimestamp":"` + moment + `"}]}`,
		"no time":                        `{"feedback":[{"card":"a","outcome":"overridden"}]}`,
		"accepted without suggestion":    `{"feedback":[{"card":"a","outcome":"accepted","outcomeTimestamp":"` + moment + `"}]}`,
		"accepted with a suggestion {}":  `{"feedback":[{"card":"a","outcome":"accepted","outcomeTimestamp":"` + moment + `","acceptedSuggestions":[{}]}]}`,
		"a reason without code":          `{"feedback":[{"card":"a","outcome":"overridden","outcomeTimestamp":"` + moment + `","overrideReason":{"reason":{"system":"x"}}}]}`,
		"501 items":                      `{"feedback":[` + strings.Repeat("{},", 500) + `{}]}`,
		"a good item before a wrong one": `{"feedback":[` + string(must(json.Marshal(good))) + `,{"card":"b"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			if r := c.post(feedbackPath, []byte(body), nil); r.status != 400 {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	if n := len(c.records(KindFeedback)); n != 0 {
		t.Errorf("%d items were stored", n)
	}
	if r := c.post(feedbackPath, []byte("{}"), func(r *http.Request) { r.Header.Del("Authorization") }); r.status != 401 {
		t.Errorf("feedback without token: %d", r.status)
	}
	viaService := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+c.token(servicePath)) }
	raw, _ := json.Marshal(map[string]any{"feedback": []any{good}})
	if r := c.post(feedbackPath, raw, viaService); r.status != 200 {
		t.Errorf("a token for the service URL is taken for feedback too: %d", r.status)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestALongCommentIsCutAndSaysSo(t *testing.T) {
	raw, _ := json.Marshal(map[string]any{"feedback": []any{overridden("a", map[string]any{"overrideReason": map[string]any{"userComment": strings.Repeat("ä", 5000)}})}})
	items, err := DecodeFeedback(raw)
	if err != nil || !items[0].CommentCut || len([]rune(items[0].Comment)) != MaxCommentRunes {
		t.Errorf("%v", err)
	}
}

func FuzzDecodeFeedback(f *testing.F) {
	f.Add([]byte(`{"feedback":[{"card":"a","outcome":"overridden","outcomeTimestamp":"2026-03-01T09:05:00Z","overrideReasons":[{"reason":{"code":"1"}}]}]}`))
	f.Add([]byte(`{"feedback":[{"card":"a","outcome":"accepted","outcomeTimestamp":"2026-03-01T09:05:00Z","acceptedSuggestions":[{"id":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := DecodeFeedback(body)
		if err != nil {
			if !errors.Is(err, ErrNotJSON) && !errors.Is(err, ErrBadRequest) {
				t.Fatalf("an error that has no status: %v", err)
			}
			return
		}
		for i := range items {
			if items[i].Card == "" || items[i].At.IsZero() && items[i].Outcome == "" {
				t.Fatalf("%+v", items[i])
			}
			if _, err := json.Marshal(items[i]); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestFeedbackSentToAnotherServiceIsAnOrphan: a card belongs to the service that
// sent it.
func TestFeedbackSentToAnotherServiceIsAnOrphan(t *testing.T) {
	c := open(t, nil)
	card := c.view(physiology.SepticShock, nil).cards()[0]
	raw, _ := json.Marshal(map[string]any{"feedback": []any{overridden(card.UUID, nil)}})
	if r := c.post(signPath+"/feedback", raw, nil); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	rows, err := c.log.Query(context.Background(), audit.Filter{Kind: KindFeedback})
	if err != nil || len(rows) != 1 || rows[0].Index.Refers != "" || !slices.Contains(rows[0].Index.Reasons, "orphan") {
		t.Errorf("%+v %v", rows, err)
	}
}

// TestATimeThatWasNeverSetIsNotTheLastWord: some clients send year 1.
func TestATimeThatWasNeverSetIsNotTheLastWord(t *testing.T) {
	never := Feedback{Card: "c", Outcome: OutcomeAccepted}
	now := Feedback{Card: "c", Outcome: OutcomeOverridden, At: clinicNow}
	if feedbackID("ehr", &never) > feedbackID("ehr", &now) {
		t.Error("year 1 comes after today")
	}
}
