// SPDX-License-Identifier: Apache-2.0

package cdshooks

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/trust"
)

// replicaOf is another service on the site's log, with a kill switch of its own.
func (s *site) replicaOf() (other *Service, kill string) {
	s.t.Helper()
	kill = filepath.Join(s.t.TempDir(), "stop")
	return s.restart(func(d *Deps) { d.Config.KillSwitchFile = kill }), kill
}

func TestReplicasHearOfEachOthersKillSwitch(t *testing.T) {
	s := openSite(t, nil)
	s.accept(nil)
	s.shows(trust.DisplaySuggest, "")
	other, kill := s.replicaOf()
	ctx := context.Background()
	put := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("operator: Nurse Lead\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	take := func(path string) {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	put(kill)
	other.look(ctx)
	s.service.look(ctx)
	s.shows(trust.DisplaySilent, LoweredKilled)
	if got := s.service.Lowered(); len(got) != 1 || got[0] != "the kill switch is thrown at another replica: every display is silent" {
		t.Errorf("%q", got)
	}
	// One that is thrown and taken back here does not end the one thrown there
	// for longer than a look.
	put(s.kill)
	s.shows(trust.DisplaySilent, LoweredKilled)
	take(s.kill)
	s.service.look(ctx)
	other.look(ctx)
	s.service.look(ctx)
	s.shows(trust.DisplaySilent, LoweredKilled)
	take(kill)
	other.look(ctx)
	s.service.look(ctx)
	s.shows(trust.DisplaySuggest, "")
	s.wantChanges("validation in-force Dr Example", "kill-switch on Nurse Lead", "kill-switch on Nurse Lead", "kill-switch off", "kill-switch on Nurse Lead", "kill-switch off")
}

func TestADriftThatOneReplicaFindsIsOneOfAll(t *testing.T) {
	s := openSite(t, nil)
	s.accept(nil)
	s.shows(trust.DisplaySuggest, "")
	other, _ := s.replicaOf()
	ctx := context.Background()
	s.miss(20)
	other.hear(ctx)
	a, b := s.service.drifts(), other.drifts()
	for i := range a {
		if a[i].drifted.IsZero() != b[i].drifted.IsZero() || a[i].Evidence != b[i].Evidence {
			t.Errorf("%s: %+v here, %+v there", a[i].place, a[i], b[i])
		}
	}
	if len(other.Lowered()) != 1 {
		t.Fatalf("the other replica shows as before: %q", other.Lowered())
	}
	s.wait(time.Minute)
	s.accept(nil)
	s.shows(trust.DisplaySuggest, "")
	other.hear(ctx)
	if got := other.Lowered(); len(got) != 0 {
		t.Errorf("ended here and not there: %q", got)
	}
	other.hear(ctx) // what was heard once is not heard again
	if got := other.drifts()[0].Summary; got.Recent != 0 {
		t.Errorf("%+v", got)
	}
}
