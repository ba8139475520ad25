// SPDX-License-Identifier: Apache-2.0

// Command load starts the real binary on a log of its own in a temporary
// folder, calls it from closed loops, says what it sustained, ends it the way
// it is told to, and looks for every answer in the log. docs/operations.md says
// what its numbers mean. From the root of the repository:
//
//	go run ./.ci/load -clients 16 -for 20s
//	go run ./.ci/load -clients 4 -for 20s -idle 10000 -slow 500
//	go run ./.ci/load -clients 2 -for 20s -hostile 16
//	go run ./.ci/load -clients 16 -for 5s -end kill
//
// With -record it also writes its numbers to .ci/loaded.tsv, from where
// docs/conformance.md has them.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/sepsisagent/sepsisagent/audit"
	"github.com/sepsisagent/sepsisagent/audit/sqlite"
	"github.com/sepsisagent/sepsisagent/cdshooks"
	"github.com/sepsisagent/sepsisagent/cdshooks/load"
)

const (
	issuer        = "https://load.example.org"
	hostileIssuer = "https://hostile.example.org" // registered too, as a client gone wild is
	publicURL     = "https://cds.example.org"
)

// options are the flags.
type options struct {
	clients, idle, slow, hostile int
	lasts                        time.Duration
	shape, end, binary           string
	record                       bool
}

func main() {
	var o options
	flag.IntVar(&o.clients, "clients", 16, "closed loops")
	flag.DurationVar(&o.lasts, "for", 20*time.Second, "how long")
	flag.IntVar(&o.idle, "idle", 0, "connections beside them that send nothing")
	flag.IntVar(&o.slow, "slow", 0, "connections beside them that send a header byte by byte")
	flag.IntVar(&o.hostile, "hostile", 0, "loops beside them that send bodies of 32 MiB")
	flag.StringVar(&o.shape, "shape", "objects", "what hostile bodies are made of: objects, numbers, resources, wide, members, or text")
	flag.StringVar(&o.end, "end", "term", "how the service ends, under load: term or kill")
	flag.StringVar(&o.binary, "binary", "", "the binary; built when empty")
	flag.BoolVar(&o.record, "record", false, "write the numbers to "+recordFile)
	flag.Parse()
	if err := run(o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "sepsisagent-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		o.binary = filepath.Join(dir, "sepsisagent")
		if text, err := exec.Command("go", "build", "-o", o.binary, ".").CombinedOutput(); err != nil {
			return fmt.Errorf("build: %w: %s", err, text)
		}
	}
	ehr, err := load.New(issuer, publicURL)
	if err != nil {
		return err
	}
	other, err := load.New(hostileIssuer, publicURL)
	if err != nil {
		return err
	}
	service, target, err := start(o.binary, dir, ehr, other)
	if err != nil {
		return err
	}
	defer func() { _ = service.Process.Kill() }()
	warm, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	before := ehr.Run(warm, target, o.clients)
	cancel()
	busy := loadAverage()
	stop := besides(o, other, target, out)
	served, ours := cpu(service.Process.Pid), cpu(os.Getpid())
	ctx, cancel := context.WithTimeout(context.Background(), o.lasts)
	result := ehr.Run(ctx, target, o.clients)
	cancel()
	served, ours = cpu(service.Process.Pid)-served, cpu(os.Getpid())-ours
	fmt.Fprintf(out, "%d closed loops for %.0f s: %.1f calls/s, p50 %.0f ms, p90 %.0f ms, p99 %.0f ms, statuses %v, broken %d\n",
		o.clients, result.Took.Seconds(), float64(len(result.Seconds))/result.Took.Seconds(),
		result.Percentile(.5), result.Percentile(.9), result.Percentile(.99), result.Statuses(), result.Broken)
	fmt.Fprintf(out, "CPU for each call answered: the service %.1f ms, its clients on the same machine %.1f ms; %.0f calls/s for each core that the service has to itself\n",
		perCall(served, result), perCall(ours, result), ratio(1000, perCall(served, result)))
	stop()
	fmt.Fprintln(out, "peak memory of the service:", peak(service.Process.Pid))

	// The end comes under load.
	ctx, cancel = context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	time.AfterFunc(time.Second, func() {
		how := syscall.SIGTERM
		if o.end == "kill" {
			how = syscall.SIGKILL
		}
		_ = service.Process.Signal(how)
	})
	last := ehr.Run(ctx, target, o.clients)
	err = service.Wait()
	fmt.Fprintf(out, "ended under load by %s (%v): statuses %v, broken %d\n", o.end, err, last.Statuses(), last.Broken)
	answered := before.Answered
	for _, r := range []load.Result{result, last} {
		for id, status := range r.Answered {
			answered[id] = status
		}
	}
	others := 0
	for _, status := range answered {
		if status != http.StatusOK {
			others++
		}
	}
	lost, err := unrecorded(out, dir, answered)
	if err != nil || !o.record {
		return err
	}
	return recordNumbers(o, busy, result, perCall(served, result), perCall(ours, result), lost, others)
}

// recordFile is where -record writes.
const recordFile = ".ci/loaded.tsv"

// recordNumbers writes what was measured, one number in a line. busy is the load
// average of the machine before; served and ours are the CPU times of a call, in
// milliseconds, of the service and of the generator.
func recordNumbers(o options, busy float64, r load.Result, served, ours float64, lost, others int) error {
	var text strings.Builder
	for _, line := range []struct {
		name  string
		value float64
	}{
		{"clients", float64(o.clients)}, {"seconds", o.lasts.Seconds()}, {"cores", float64(runtime.NumCPU())}, {"load_average", busy},
		{"calls", float64(len(r.Seconds))}, {"calls_per_s", float64(len(r.Seconds)) / r.Took.Seconds()},
		{"p50_ms", r.Percentile(.5)}, {"p90_ms", r.Percentile(.9)}, {"p95_ms", r.Percentile(.95)}, {"p99_ms", r.Percentile(.99)},
		{"service_cpu_ms", served}, {"generator_cpu_ms", ours},
		{"unrecorded", float64(lost)}, {"other_statuses", float64(others)},
	} {
		fmt.Fprintf(&text, "%s\t%.1f\n", line.name, line.value)
	}
	return os.WriteFile(recordFile, []byte(text.String()), 0o644)
}

// ticksPerSecond is the unit of /proc's CPU times, on every Linux that Go runs on.
const ticksPerSecond = 100

// cpu is the CPU time that a process has used in all its threads, in user and
// system mode; 0 where it is not told. Unlike the wall clock it says the same on
// a machine that is busy with something else.
func cpu(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the name before it may hold spaces
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	var user, system int64
	_, _ = fmt.Sscan(fields[11]+" "+fields[12], &user, &system) // 0 if they cannot be read
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// perCall is the share of one call in a CPU time, in milliseconds. Calls that
// were refused count too.
func perCall(spent time.Duration, r load.Result) float64 {
	return ratio(spent.Seconds()*1000, float64(len(r.Answered)))
}

// ratio is 0 where there is nothing to divide by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// loadAverage is that of the last minute; 0 where it is not told.
func loadAverage() (n float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	_, _ = fmt.Sscan(string(text), &n) // 0 if it cannot be read
	return n
}

// start makes a log, registers both clients and starts the service.
func start(binary, dir string, ehr, other *load.EHR) (*exec.Cmd, string, error) {
	db, key := filepath.Join(dir, "audit.db"), filepath.Join(dir, "audit.key")
	if text, err := exec.Command(binary, "audit", "init", "--db", db, "--key", key).CombinedOutput(); err != nil {
		return nil, "", fmt.Errorf("audit init: %w: %s", err, text)
	}
	config := filepath.Join(dir, "site.yaml")
	text := fmt.Sprintf("http: {addr: 127.0.0.1:0}\naudit: {path: %s, key_file: %s, seen_file: %s.seen}\ncdshooks:\n  public_url: %s\n  clients:\n    - {name: load, issuer: %s, jwks: '%s', display: inform}\n    - {name: hostile, issuer: %s, jwks: '%s'}\n",
		db, key, db, publicURL, issuer, ehr.KeySet(), hostileIssuer, other.KeySet())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, "", err
	}
	cmd := exec.Command(binary, "serve", "--config", config)
	logs, err := cmd.StderrPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	lines := bufio.NewReader(logs)
	for {
		line, err := lines.ReadString('\n')
		if found := regexp.MustCompile(`"msg":"serving".*?"addr":"([^"]+)"`).FindStringSubmatch(line); found != nil {
			go func() { _, _ = io.Copy(io.Discard, lines) }()
			return cmd, "http://" + found[1], nil
		}
		if err != nil {
			return nil, "", fmt.Errorf("the service did not start: %w", err)
		}
	}
}

// besides opens the connections that do no good, until stop is called.
func besides(o options, wild *load.EHR, target string, out io.Writer) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	addr := strings.TrimPrefix(target, "http://")
	var conns []net.Conn
	for range o.idle {
		if conn, err := net.Dial("tcp", addr); err == nil {
			conns = append(conns, conn)
		}
	}
	if o.idle > 0 {
		fmt.Fprintf(out, "%d idle connections opened\n", len(conns))
	}
	for range o.slow {
		go crawl(ctx, addr)
	}
	tallies := make(chan map[int]int, o.hostile)
	for range o.hostile {
		go func() {
			t := map[int]int{}
			for body := hostile(o.shape); ctx.Err() == nil; {
				r, err := wild.Request(ctx, target, 0, body)
				if err != nil {
					break
				}
				if res, err := http.DefaultClient.Do(r); err == nil {
					t[res.StatusCode]++
					_ = res.Body.Close()
				}
			}
			tallies <- t
		}()
	}
	return func() {
		cancel()
		for _, c := range conns {
			_ = c.Close()
		}
		all := map[int]int{}
		for range o.hostile {
			for s, n := range <-tallies {
				all[s] += n
			}
		}
		if o.hostile > 0 {
			fmt.Fprintf(out, "%d hostile loops of 32 MiB bodies (%s): statuses %v\n", o.hostile, o.shape, all)
		}
	}
}

// crawl sends a header that never ends, again and again.
func crawl(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			time.Sleep(100 * time.Millisecond)
			continue
		}
		_, err = io.WriteString(conn, "POST "+load.Path+" HTTP/1.1\r\nHost: x\r\nX-A: ")
		for err == nil && ctx.Err() == nil {
			time.Sleep(100 * time.Millisecond)
			_, err = conn.Write([]byte{'a'})
		}
		_ = conn.Close()
	}
}

// hostile is a body just below the limit whose parts are small, so that what
// is decoded takes far more memory than the text.
func hostile(shape string) []byte {
	part := map[string]string{
		"objects": `{"resource":{}}`, "numbers": `1`, "text": `"` + strings.Repeat("a", 1000) + `"`,
		"resources": `{"resource":{"resourceType":"Observation","id":"o","status":"final","subject":{"reference":"Patient/p"},"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"effectiveDateTime":"2026-01-01T00:00:00Z","valueQuantity":{"value":1,"unit":"/min","system":"http://unitsofmeasure.org","code":"/min"}}}`,
	}[shape]
	head := `{"hook":"patient-view","hookInstance":"00000000-0000-4000-8000-000000000000","context":{"userId":"Practitioner/h","patientId":"p"},"prefetch":{"patient":{"resourceType":"Patient","id":"p"},"vitals":{"resourceType":"Bundle","type":"searchset","entry":[`
	switch shape {
	case "wide": // as many elements as there may be, each as long as the text allows
		part = `{"resource":{"resourceType":"Observation","status":"final","id":"` + strings.Repeat("a", 50) + `"}}`
	case "members": // no Bundle at all
		var b bytes.Buffer
		b.WriteString(`{"extension":{"x":0`)
		for i := 0; b.Len() < 32<<20-20; i++ {
			fmt.Fprintf(&b, `,"%x":1`, i)
		}
		b.WriteString("}}")
		return b.Bytes()
	}
	n := (32<<20 - len(head) - 10) / (len(part) + 1)
	list := bytes.Repeat([]byte(part+","), n)
	return append(append([]byte(head), list[:len(list)-1]...), "]}}}"...)
}

// peak is the most memory the process ever had resident.
func peak(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "unknown on this system"
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// unrecorded looks for every answer in the log, and checks the log.
func unrecorded(out io.Writer, dir string, answered map[string]int) (lost int, err error) {
	ctx := context.Background()
	key, err := audit.ReadKeyFile(filepath.Join(dir, "audit.key"))
	if err != nil {
		return 0, err
	}
	log, err := sqlite.Open(ctx, filepath.Join(dir, "audit.db"), sqlite.Options{Key: key})
	if err != nil {
		return 0, err
	}
	defer log.Close()
	report, err := log.Verify(ctx)
	if err != nil {
		return 0, err
	}
	recorded, err := requests(ctx, log)
	if err != nil {
		return 0, err
	}
	for id := range answered {
		if !recorded[id] {
			lost++
		}
	}
	fmt.Fprintf(out, "log of %d entries, verified %v; %d answered, %d unrecorded\n", report.Size, report.OK, len(answered), lost)
	if lost > 0 || !report.OK {
		return lost, fmt.Errorf("%d answers are not in the log, verified %v", lost, report.OK)
	}
	return lost, nil
}

// requests are the request ids of all calls on record.
func requests(ctx context.Context, log *sqlite.Log) (map[string]bool, error) {
	out := map[string]bool{}
	filter := audit.Filter{OldestFirst: true, Limit: audit.MaxLimit}
	for {
		rows, err := log.Query(ctx, filter)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			stored, err := log.Get(ctx, row.Index.ID)
			if err != nil {
				return nil, err
			}
			if r, err := cdshooks.DecodeRecord(stored.Body); err == nil {
				out[r.Request.RequestID] = true
			}
		}
		if len(rows) < audit.MaxLimit {
			return out, nil
		}
		filter.After = &rows[len(rows)-1].Leaf
	}
}
