// SPDX-License-Identifier: Apache-2.0

package audit

// This file: other texts signed by keys of the same form as those of the log. A
// checkpoint begins with its log's origin; a text signed here must begin with a
// line that says what it is, so that neither can be taken for the other.

import (
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// SignNote signs a text as a note. The text must end in a newline. Errors wrap
// ErrKey.
func (k *Key) SignNote(text string) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: text}, k.signer)
	if err != nil {
		return nil, fmt.Errorf("%w: sign: %v", ErrKey, err)
	}
	return signed, nil
}

// OpenNote checks the signature of a note and gives its text. Errors wrap
// ErrKey.
func (v *Verifier) OpenNote(signed []byte) (string, error) {
	n, err := note.Open(signed, note.VerifierList(v.verifier))
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrKey, err)
	}
	return n.Text, nil
}
