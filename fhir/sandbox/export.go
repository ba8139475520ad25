// SPDX-License-Identifier: Apache-2.0

package sandbox

// This file: Export, the Bulk Data side of the EHR: kick-off, status, manifest
// and files over given resources, by the Bulk Data Access guide 2.0.0. A test
// can put itself before every step and answer as a bad server would.

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Steps of an export, as ExportConfig.Before is told them.
const (
	StepKickOff = "kick-off"
	StepStatus  = "status"
	StepFile    = "file"
	StepCancel  = "cancel"
)

// ExportConfig makes an Export.
type ExportConfig struct {
	// BaseURL is the FHIR base under which Handler is reached.
	BaseURL string
	// FilesURL is where Files is reached, when that is another origin: its links
	// carry their own permission, and a call with a token is refused, as file
	// stores do. Empty: files are under BaseURL.
	FilesURL string
	// Token is what callers must show. Empty: the server is open.
	Token string
	// Resources are exported.
	Resources []json.RawMessage
	// Groups are the patients of each Group by its id.
	Groups map[string][]string
	// FileLines is the most resources in one file. 0: 2,000.
	FileLines int
	// Before is called at every step and may answer it, which it says by true.
	// Nil: the server has no faults.
	Before func(w http.ResponseWriter, r *http.Request, step string) bool
}

// Export is a Bulk Data server. It may be called concurrently.
type Export struct {
	cfg     ExportConfig
	entries []exportEntry

	mu   sync.Mutex // guards jobs
	jobs map[string]*exportJob
}

// exportEntry is a resource with what an export selects by.
type exportEntry struct {
	kind, patient string
	updated       time.Time
	raw           []byte
}

// exportJob is one export that was asked for.
type exportJob struct {
	at      time.Time
	request string
	files   map[string]*exportFile
	order   []string
	sig     string // what a link to another origin must carry
}

type exportFile struct {
	kind  string
	count int
	plain []byte
	tag   string // entity tag without quotes
}

// FolderResources reads the resources of every NDJSON file in dir, in the
// order of their names.
func FolderResources(dir string) ([]json.RawMessage, error) {
	var out []json.RawMessage
	files, err := filepath.Glob(filepath.Join(dir, "*.ndjson*"))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrConfig, err)
		}
		if strings.HasSuffix(path, ".gz") {
			z, err := gzip.NewReader(bytes.NewReader(data))
			if err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
			}
			if data, err = io.ReadAll(bufio.NewReader(z)); err != nil {
				return nil, fmt.Errorf("%w: %s: %w", ErrConfig, path, err)
			}
		}
		for line := range bytes.Lines(data) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				out = append(out, line)
			}
		}
	}
	return out, nil
}

// NewExport makes the server. It starts nothing.
func NewExport(cfg ExportConfig) (*Export, error) {
	cfg.BaseURL, cfg.FilesURL = strings.TrimRight(cfg.BaseURL, "/"), strings.TrimRight(cfg.FilesURL, "/")
	if cfg.FileLines == 0 {
		cfg.FileLines = 2000
	}
	e := &Export{cfg: cfg, jobs: map[string]*exportJob{}}
	for _, raw := range cfg.Resources {
		var x struct {
			ResourceType string    `json:"resourceType"`
			ID           string    `json:"id"`
			Subject      reference `json:"subject"`
			Patient      reference `json:"patient"`
			Meta         struct {
				LastUpdated time.Time `json:"lastUpdated"`
			} `json:"meta"`
		}
		if err := json.Unmarshal(raw, &x); err != nil || x.ResourceType == "" {
			return nil, fmt.Errorf("%w: a resource of the export is none", ErrConfig)
		}
		patient := strings.TrimPrefix(x.Subject.Reference+x.Patient.Reference, "Patient/")
		if x.ResourceType == "Patient" {
			patient = x.ID
		}
		e.entries = append(e.entries, exportEntry{x.ResourceType, patient, x.Meta.LastUpdated, raw})
	}
	return e, nil
}

// Handler serves the export under the path of BaseURL.
func (e *Export) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /$export", e.step(StepKickOff, e.kickOff))
	mux.HandleFunc("GET /Patient/$export", e.step(StepKickOff, e.kickOff))
	mux.HandleFunc("GET /Group/{group}/$export", e.step(StepKickOff, e.kickOff))
	mux.HandleFunc("GET /export/{job}", e.step(StepStatus, e.status))
	mux.HandleFunc("DELETE /export/{job}", e.step(StepCancel, e.cancel))
	mux.HandleFunc("GET /export/{job}/{file}", e.step(StepFile, e.file))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		outcome(w, http.StatusNotFound, "not-found", "no such interaction")
	})
	return http.StripPrefix(pathOf(e.cfg.BaseURL), mux)
}

// Files serves the files under the path of FilesURL, without tokens.
func (e *Export) Files() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /export/{job}/{file}", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			http.Error(w, "only one way of authorization is allowed", http.StatusBadRequest)
			return
		}
		if e.cfg.Before != nil && e.cfg.Before(w, r, StepFile) {
			return
		}
		if j := e.job(r.PathValue("job")); j == nil || r.URL.Query().Get("sig") != j.sig {
			http.Error(w, "the signature does not match", http.StatusForbidden)
			return
		}
		e.file(w, r)
	})
	return http.StripPrefix(pathOf(e.cfg.FilesURL), mux)
}

// pathOf is the path of an address.
func pathOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	_, path, has := strings.Cut(rest, "/")
	if !has {
		return ""
	}
	return "/" + path
}

// step lets a call through to h when it shows the token and no fault answers.
func (e *Export) step(name string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if e.cfg.Token != "" && r.Header.Get("Authorization") != "Bearer "+e.cfg.Token {
			w.Header().Set("WWW-Authenticate", "Bearer")
			outcome(w, http.StatusUnauthorized, "login", "access token missing or unknown")
			return
		}
		if e.cfg.Before != nil && e.cfg.Before(w, r, name) {
			return
		}
		h(w, r)
	}
}

// kickOff starts a job. The work is done at once; how long it seems to take is
// the business of Before.
func (e *Export) kickOff(w http.ResponseWriter, r *http.Request) {
	if !slices.Contains(r.Header.Values("Prefer"), "respond-async") {
		outcome(w, http.StatusBadRequest, "invalid", "Prefer: respond-async is missing")
		return
	}
	q := r.URL.Query()
	var since time.Time
	if text := q.Get("_since"); text != "" {
		var err error
		if since, err = time.Parse(time.RFC3339, text); err != nil {
			outcome(w, http.StatusBadRequest, "value", "_since is no instant")
			return
		}
	}
	members, known := e.cfg.Groups[r.PathValue("group")]
	if group := r.PathValue("group"); group != "" && !known {
		outcome(w, http.StatusNotFound, "not-found", "no such Group")
		return
	}
	var types []string
	if text := q.Get("_type"); text != "" {
		types = strings.Split(text, ",")
	}
	j := e.newJob(r, func(x *exportEntry) bool {
		return (types == nil || slices.Contains(types, x.kind)) && (!known || x.patient == "" || slices.Contains(members, x.patient)) &&
			(since.IsZero() || !x.updated.Before(since))
	})
	id := rand.Text()
	e.mu.Lock()
	e.jobs[id] = j
	e.mu.Unlock()
	w.Header().Set("Content-Location", e.cfg.BaseURL+"/export/"+id)
	outcome(w, http.StatusAccepted, "informational", "the export is being prepared")
}

// newJob writes the files of an export.
func (e *Export) newJob(r *http.Request, want func(*exportEntry) bool) *exportJob {
	j := &exportJob{at: time.Now().UTC().Truncate(time.Second), request: e.cfg.BaseURL + r.URL.RequestURI(), files: map[string]*exportFile{}, sig: rand.Text()}
	open := map[string]*exportFile{} // the file of each type that is being filled
	number := map[string]int{}
	for i := range e.entries {
		x := &e.entries[i]
		if !want(x) {
			continue
		}
		f := open[x.kind]
		if f == nil || f.count == e.cfg.FileLines {
			f = &exportFile{kind: x.kind}
			number[x.kind]++
			name := x.kind + "." + strconv.Itoa(number[x.kind]) + ".ndjson"
			open[x.kind], j.files[name] = f, f
		}
		f.plain = append(append(f.plain, x.raw...), '\n')
		f.count++
	}
	j.order = slices.Sorted(maps.Keys(j.files))
	for _, f := range j.files {
		sum := sha256.Sum256(f.plain)
		f.tag = hex.EncodeToString(sum[:8])
	}
	return j
}

func (e *Export) job(id string) *exportJob {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.jobs[id]
}

// status gives the manifest.
func (e *Export) status(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("job")
	j := e.job(id)
	if j == nil {
		outcome(w, http.StatusNotFound, "not-found", "no such export, or no longer")
		return
	}
	type file struct {
		Type  string `json:"type"`
		URL   string `json:"url"`
		Count int    `json:"count"`
	}
	files := []file{}
	for _, name := range j.order {
		f := file{j.files[name].kind, e.cfg.BaseURL + "/export/" + id + "/" + name, j.files[name].count}
		if e.cfg.FilesURL != "" {
			f.URL = e.cfg.FilesURL + "/export/" + id + "/" + name + "?sig=" + j.sig
		}
		files = append(files, f)
	}
	body, err := json.Marshal(map[string]any{
		"transactionTime": j.at.Format(time.RFC3339), "request": j.request, "requiresAccessToken": e.cfg.Token != "" && e.cfg.FilesURL == "",
		"output": files, "error": []any{},
	})
	if err != nil {
		outcome(w, http.StatusInternalServerError, "exception", "the manifest could not be written")
		return
	}
	writeJSON(w, http.StatusOK, "application/json", body)
}

// file gives a file or a range of it, compressed where the caller takes that.
func (e *Export) file(w http.ResponseWriter, r *http.Request) {
	j := e.job(r.PathValue("job"))
	var f *exportFile
	if j != nil {
		f = j.files[r.PathValue("file")]
	}
	if f == nil {
		outcome(w, http.StatusNotFound, "not-found", "no such file, or no longer")
		return
	}
	body, tag := f.plain, f.tag
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(body); err != nil || z.Close() != nil {
			outcome(w, http.StatusInternalServerError, "exception", "the file could not be compressed")
			return
		}
		body, tag = packed.Bytes(), tag+"-gzip"
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.Header().Set("ETag", `"`+tag+`"`)
	w.Header().Set("Content-Type", "application/fhir+ndjson")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}

// cancel forgets a job and its files.
func (e *Export) cancel(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.jobs[r.PathValue("job")] == nil {
		outcome(w, http.StatusNotFound, "not-found", "no such export, or no longer")
		return
	}
	delete(e.jobs, r.PathValue("job"))
	outcome(w, http.StatusAccepted, "informational", "the export is deleted")
}

// Jobs is how many exports the server holds.
func (e *Export) Jobs() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.jobs)
}
