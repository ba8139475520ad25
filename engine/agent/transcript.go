// SPDX-License-Identifier: Apache-2.0

package agent

// This file: what is kept of asking a language model: the transcript, from
// which the same decision can be made again without asking, and a short word
// about it in the decision itself.

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// TranscriptSchema names the form of a Transcript.
const TranscriptSchema = "sepsisagent.transcript/1"

// Outcomes of a Consultation.
const (
	ConsultChosen   = "chosen"    // the decision is the model's choice
	ConsultFallback = "fallback"  // it gave no usable answer: the decision is the native agent's
	ConsultNotAsked = "not-asked" // there was nothing to choose: the decision is the native agent's
)

// Consultation is what the decision says about the model that was to choose.
type Consultation struct {
	Model   string `json:"model"`            // as it was asked for
	Prompts string `json:"prompts"`          // SHA-256 of the prompt templates
	Outcome string `json:"outcome"`          // ConsultChosen, ConsultFallback or ConsultNotAsked
	Fault   string `json:"fault,omitempty"`  // why there was no usable answer, a stable word
	Rounds  int    `json:"rounds,omitempty"` // messages of the model
	Digest  string `json:"digest,omitempty"` // of the transcript
}

// Transcript is one conversation with a model, in order. It has no times: the
// same conversation has the same bytes.
type Transcript struct {
	Schema  string    `json:"schema"`
	Model   string    `json:"model"`
	Prompts string    `json:"prompts"`
	Seed    int       `json:"seed"`
	Opening []Message `json:"opening"`
	Turns   []Turn    `json:"turns"`
	Fault   string    `json:"fault,omitempty"` // why it ended without a usable answer
}

// Message is one message that was sent before the model said anything.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Turn is one message of the model with what it was answered, or the fault that
// came in its place.
type Turn struct {
	Reply   *Reply   `json:"reply,omitempty"`
	Answers []string `json:"answers,omitempty"` // one per call; one to a message without a call
	Fault   string   `json:"fault,omitempty"`
}

// Reply is a message of the model as it was received.
type Reply struct {
	Model   string `json:"model,omitempty"` // as the endpoint names itself
	Content string `json:"content,omitempty"`
	Refusal string `json:"refusal,omitempty"`
	Finish  string `json:"finish,omitempty"`
	Calls   []Call `json:"calls,omitempty"`
	Tokens  int    `json:"tokens,omitempty"` // of prompt and answer, as the endpoint counts
}

// Call is one tool call.
type Call struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

// Digest is the SHA-256 of the transcript's JSON.
func (t *Transcript) Digest() (string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return "", fmt.Errorf("transcript: %w", err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
