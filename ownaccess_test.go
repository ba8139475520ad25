// SPDX-License-Identifier: Apache-2.0

package main

// This file: the service's own access to an EHR, from the configuration file
// to the EHR's answer, and its keys while serving.

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sepsisagent/sepsisagent/cdshooks/load"
	"github.com/sepsisagent/sepsisagent/configs"
	"github.com/sepsisagent/sepsisagent/fhir"
	"github.com/sepsisagent/sepsisagent/fhir/smart"
)

// keyFiles writes a ring of keys with these statuses into dir and gives the
// path of its file.
func keyFiles(t *testing.T, dir string, statuses ...string) string {
	t.Helper()
	text := "keys:\n"
	for i, status := range statuses {
		name := fmt.Sprintf("%d.pem", i)
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(k)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		text += fmt.Sprintf("  - {file: %s, kid: k%d, status: %s}\n", name, i, status)
	}
	path := filepath.Join(dir, "keys.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tokenServer plays an EHR's discovery and token endpoint.
func tokenServer(t *testing.T, answer string, status int) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	mux.HandleFunc("GET /fhir/.well-known/smart-configuration", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"token_endpoint":%q}`, s.URL+"/token")
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	})
	return s
}

// backendClient registers one EHR that is read by our own right.
func backendClient(ehr, access string) string {
	return fmt.Sprintf(`cdshooks:
  public_url: https://cds.example.org
  clients:
    - name: ehr
      issuer: https://ehr.example.org
      jwks_url: %[1]s/jwks.json
      network: loopback
      fhir_server: %[1]s/fhir
      fhir_access: %[2]s
`, ehr, access)
}

const grantedAll = `{"access_token":"hush","token_type":"bearer","expires_in":300,"scope":"system/*.rs"}`

func TestServeCheckTriesOurOwnAccessOut(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	h := newAuditHouse(t)
	keys := keyFiles(t, t.TempDir(), "current", "next")
	with := "files: {keys_file: " + keys + "}\n"
	good := tokenServer(t, grantedAll, 200)
	out := sepsisagent(t, "serve", "--check", "--config", site(t, h, with+backendClient(good.URL, "{mode: backend, client_id: app-7}"))).want(exitOK)
	out.prints("key k0 (ES384, current)")
	out.prints("client ehr: token endpoint " + good.URL + "/token takes key k0 (ES384), grants system/*.rs for 5m0s")
	refuses := tokenServer(t, `{"error":"invalid_client","error_description":"unknown kid"}`, 401)
	narrow := tokenServer(t, strings.Replace(grantedAll, "*", "Patient", 1), 200)
	for _, tc := range []struct{ name, config, says string }{
		{"an EHR that refuses us", with + backendClient(refuses.URL, "{mode: backend, client_id: app-7}"), `invalid_client (hint: does the EHR know the client id and our key set, and was the signing key published before it signed?): the EHR says "unknown kid"`},
		{"an EHR that grants too little", with + backendClient(narrow.URL, "{mode: backend, client_id: app-7}"), "system/Observation.rs"},
		{"no keys", backendClient(good.URL, "{mode: backend, client_id: app-7}"), "files.keys_file"},
		{"keys that are not there", "files: {keys_file: /nonexistent.yaml}\n" + oneClient, "nonexistent.yaml"},
		{"an algorithm that no key has", with + backendClient(good.URL, "{mode: backend, client_id: app-7, algorithm: RS384}"), "no current key signs RS384"},
		{"an algorithm that SMART does not know", with + backendClient(good.URL, "{mode: backend, client_id: app-7, algorithm: HS256}"), "HS256"},
		{"no client id", with + backendClient(good.URL, "{mode: backend}"), "client_id"},
		{"a mode that does not exist", with + backendClient(good.URL, "{mode: always}"), "token or backend"},
		{"a client id without the mode", with + backendClient(good.URL, "{client_id: app-7}"), "mode: backend"},
		{"a token endpoint outside the network", with + backendClient(good.URL, "{mode: backend, client_id: app-7, token_url: https://ehr.example.org/token}"), "token_url"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sepsisagent(t, "serve", "--check", "--config", site(t, h, tc.config)).want(exitFailed).says(tc.says)
		})
	}
}

func TestKeysAreReadAgainOnSIGHUPWhileServing(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	dir := t.TempDir()
	keys := keyFiles(t, dir, "current", "next")
	config := site(t, newAuditHouse(t), "files: {keys_file: "+keys+"}\n"+oneClient)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, in := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- runContext(ctx, []string{"serve", "--config", config}, strings.NewReader(""), io.Discard, in)
		in.Close()
	}()
	lines := newLogLines(t, logs)
	serving := lines.next(`"msg":"serving".*"addr":"([^"]+)"`)
	kids := func() string {
		res, err := http.Get("http://" + serving + "/.well-known/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var set struct{ Keys []struct{ Kid string } }
		if err := json.NewDecoder(res.Body).Decode(&set); err != nil {
			t.Fatal(err)
		}
		out := ""
		for _, k := range set.Keys {
			out += k.Kid + " "
		}
		return out
	}
	if got := kids(); got != "k0 k1 " {
		t.Errorf("published are %q", got)
	}
	keyFiles(t, dir, "old", "current", "next")
	hangUp(t)
	lines.next(`"msg":"(keys read)","changed":true`)
	if got := kids(); got != "k0 k1 k2 " {
		t.Errorf("after the change published are %q", got)
	}
	if err := os.WriteFile(keys, []byte("keys: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	hangUp(t)
	lines.next(`"msg":"(keys not read, what was there stays in use)"`)
	if got := kids(); got != "k0 k1 k2 " {
		t.Errorf("after a broken file published are %q", got)
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit status %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestOurRunningServiceIsKnownToAServerWeDidNotWrite registers a running
// service by the address of its key set, as an EHR does, and checks that it is
// granted a token. .ci/run starts that server (.ci/authserver).
func TestOurRunningServiceIsKnownToAServerWeDidNotWrite(t *testing.T) {
	server := os.Getenv("SEPSISAGENT_AUTHSERVER")
	if server == "" {
		t.Skip("SEPSISAGENT_AUTHSERVER is not set: start .ci/authserver (node server.mjs) and set it to the address it prints")
	}
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	keys := "files: {keys_file: " + keyFiles(t, t.TempDir(), "current") + "}\n"
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, in := io.Pipe()
	done := make(chan int, 1)
	first := site(t, newAuditHouse(t), keys+oneClient)
	go func() {
		done <- runContext(ctx, []string{"serve", "--config", first}, strings.NewReader(""), io.Discard, in)
		in.Close()
	}()
	serving := newLogLines(t, logs).next(`"msg":"serving".*"addr":"([^"]+)"`)
	res, err := http.Post(server+"/reg", "application/json", strings.NewReader(fmt.Sprintf(`{"client_name":"cds","jwks_uri":"http://%s/.well-known/jwks.json"}`, serving)))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var client struct {
		ID string `json:"client_id"`
	}
	if err := json.NewDecoder(res.Body).Decode(&client); err != nil || client.ID == "" {
		t.Fatalf("registration answers %d, %v", res.StatusCode, err)
	}
	second := site(t, newAuditHouse(t), keys+backendClient(server, "{mode: backend, client_id: "+client.ID+"}"))
	sepsisagent(t, "serve", "--check", "--config", second).want(exitOK).prints("client ehr: token endpoint " + server + "/token takes key k0 (ES384), grants system/")
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit status %d", code)
	}
	http.DefaultClient.CloseIdleConnections()
}

func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// logLines waits for lines of a log.
type logLines struct {
	t    *testing.T
	text chan string
}

func newLogLines(t *testing.T, r io.Reader) *logLines {
	l := &logLines{t: t, text: make(chan string, 100)}
	go func() {
		defer close(l.text)
		rest, buf := "", make([]byte, 4096)
		for {
			n, err := r.Read(buf)
			rest += string(buf[:n])
			for {
				line, after, whole := strings.Cut(rest, "\n")
				if !whole {
					break
				}
				rest = after
				select {
				case l.text <- line:
				default: // nobody waits for so many
				}
			}
			if err != nil {
				return
			}
		}
	}()
	return l
}

// next gives the first group of the next line that matches.
func (l *logLines) next(pattern string) string {
	l.t.Helper()
	want := regexp.MustCompile(pattern)
	patience := time.After(30 * time.Second)
	for {
		select {
		case line, open := <-l.text:
			if m := want.FindStringSubmatch(line); m != nil {
				return m[1]
			}
			if !open {
				l.t.Fatalf("the log ended before %s", pattern)
			}
		case <-patience:
			l.t.Fatalf("no line %s", pattern)
		}
	}
}

// TestTheIntegrationPageNamesTheScopesAndAConfigurationThatLoads keeps
// docs/integration.md from naming other scopes than the program asks for.
func TestTheIntegrationPageNamesTheScopesAndAConfigurationThatLoads(t *testing.T) {
	page, err := os.ReadFile("docs/integration.md")
	if err != nil {
		t.Fatal(err)
	}
	maps, err := fhir.LoadCodeMaps(configs.FS)
	if err != nil {
		t.Fatal(err)
	}
	need, want := fhir.Reads(fhir.PrefetchTemplates(maps))
	written := regexp.MustCompile(`(?m)^\s+(system/\w+\.rs)$`).FindAllStringSubmatch(string(page), -1)
	var scopes []string
	for _, m := range written {
		scopes = append(scopes, m[1])
	}
	if asked := smart.Scopes(append(need, want...), false); strings.Join(scopes, " ") != strings.Join(asked, " ") {
		t.Errorf("the page names %v, the program asks for %v", scopes, asked)
	}
	if last := len(need) - 1; !strings.Contains(string(page), "Without "+strings.Join(need[:last], ", ")+" and "+need[last]+" a token is not used") {
		t.Errorf("the page does not say that %v are needed", need)
	}
	ehr, err := load.New("https://ehr.example.org", "https://cds.example.org")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 3 {
		t.Fatalf("the page has %d YAML blocks, want the ring and the registrations", len(blocks))
	}
	for _, block := range blocks {
		text := regexp.MustCompile(`(?m)^   `).ReplaceAllString(block[1], "")
		if strings.HasPrefix(text, "keys:") {
			continue // the ring
		}
		text = strings.Replace(text, `{"keys":[ ... ]}`, ehr.KeySet(), 1) // to be pasted
		path := filepath.Join(t.TempDir(), "site.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := newRegistry(cfg, nil); err != nil {
			t.Error(err)
		}
	}
}
