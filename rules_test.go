// SPDX-License-Identifier: Apache-2.0

package main

// This file: the rules commands, and that docs/rules.md says what is enforced.

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheRulesPageIsCurrent(t *testing.T) {
	page, err := os.ReadFile("docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	printed := sepsisagent(t, "rules", "list", "--markdown").want(exitOK)
	if string(page) != printed.out {
		t.Error("docs/rules.md is not what the command prints (hint: go run . rules list --markdown > docs/rules.md)")
	}
}

func TestTheShippedRulesHoldTheirCasesInEveryBranch(t *testing.T) {
	sepsisagent(t, "rules", "test").want(exitOK).prints(" 0 failures", "(100.0 %)", "0 findings")
}

func TestTheSitePackOfTheRulesPageWorks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte(siteExample), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "rules", "test", file).want(exitOK).prints("0 failures", "0 findings")
	config := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(config, []byte("files:\n  rules: ["+file+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "rules", "list", "--config", config).want(exitOK).prints("SITE-NIGHT", "V4 is changed by site@2026.1", "B3 is switched off by site@2026.1")
}

func TestABadSitePackFailsWithItsLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "site.yaml")
	bad := strings.Replace(siteExample, "rule: B3 ", "rule: V11", 1)
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "rules", "test", file).want(exitFailed).says("site.yaml:14", "locked")
}
