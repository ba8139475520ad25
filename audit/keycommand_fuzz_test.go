// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzKeyAnswer feeds what a key service's program may print. What is taken is
// the data of one object.
func FuzzKeyAnswer(f *testing.F) {
	for _, s := range []string{`{"data":"AAEC"}`, `{"data":"AAEC"} `, `{"data":"AAEC"}{}`, `{"data":""}`, `{"data":null}`, `{}`, `null`, `{"data":[0,1]}`, `{"data":"AAEC","more":1}`, `"AAEC"`, ``, `{"data":"AA?C"}`, `{"data":"AAEC","data":"AA=="}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		data, err := parseKeyAnswer(answer)
		if err != nil {
			if data != nil {
				t.Errorf("data beside %v", err)
			}
			return
		}
		var object map[string][]byte
		if err := json.Unmarshal(answer, &object); err != nil || len(object) == 0 || len(data) == 0 {
			t.Fatalf("took %q of %q: %v", data, answer, err)
		}
		for _, v := range object {
			if bytes.Equal(v, data) {
				return
			}
		}
		t.Errorf("took %q of %q", data, answer)
	})
}
