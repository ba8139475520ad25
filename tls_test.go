// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certificateFiles writes a certificate of its own root for cds.example.org.
func certificateFiles(t *testing.T, dir string, serial int64, until time.Time) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "cds.example.org"}, DNSNames: []string{"cds.example.org"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestServeShowsItsOwnCertificateAndReadsItAgain(t *testing.T) {
	t.Setenv("SEPSISAGENT_FILES__MODEL", testModel(t))
	dir := t.TempDir()
	cert, key := certificateFiles(t, dir, 1, time.Now().Add(time.Hour))
	tlsKeys := "  tls: {cert_file: " + cert + ", key_file: " + key + "}\n"
	config := site(t, newAuditHouse(t), oneClient)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), "http: {addr: 127.0.0.1:0}\n", "http:\n  addr: 127.0.0.1:0\n"+tlsKeys, 1))
	if err := os.WriteFile(config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	sepsisagent(t, "serve", "--check", "--config", config).want(exitOK).prints("certificate until ")

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	logs, in := io.Pipe()
	done := make(chan int, 1)
	go func() {
		done <- runContext(ctx, []string{"serve", "--config", config}, strings.NewReader(""), io.Discard, in)
		in.Close()
	}()
	lines := newLogLines(t, logs)
	addr := lines.next(`"msg":"serving".*"addr":"([^"]+)"`)
	// serial is that of the certificate shown to a client of the given version.
	serial := func(version uint16) (int64, error) {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), nil
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		if got, err := serial(version); err != nil || got != 1 {
			t.Errorf("TLS %x: certificate %d, %v", version, got, err)
		}
	}
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := serial(version); err == nil {
			t.Errorf("TLS %x is spoken", version)
		}
	}
	if res, err := http.Get("http://" + addr + "/healthz"); err == nil {
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			t.Error("clear text is answered")
		}
	}
	if err := probe(ctx, HTTPConfig{Addr: addr, TLS: TLSConfig{cert, key}}); err != nil {
		t.Errorf("the health check: %v", err)
	}

	again := func() {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	again()
	lines.next(`"msg":"(certificate not read, what was there stays in use)"`)
	if got, err := serial(tls.VersionTLS13); err != nil || got != 1 {
		t.Errorf("after a bad file: certificate %d, %v", got, err)
	}
	certificateFiles(t, dir, 2, time.Now().Add(time.Hour))
	again()
	lines.next(`"msg":"(certificate read)","changed":true`)
	if got, err := serial(tls.VersionTLS13); err != nil || got != 2 {
		t.Errorf("after a renewal: certificate %d, %v", got, err)
	}
	stop()
	if code := <-done; code != exitOK {
		t.Errorf("exit %d", code)
	}
}

func TestACertificateThatCannotServeIsRefusedAtStart(t *testing.T) {
	dir := t.TempDir()
	good, goodKey := certificateFiles(t, t.TempDir(), 1, time.Now().Add(time.Hour))
	late, lateKey := certificateFiles(t, dir, 2, time.Now().Add(-time.Minute))
	open := filepath.Join(dir, "open.pem")
	secret, err := os.ReadFile(goodKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, secret, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		files TLSConfig
		says  string
	}{
		{"one that has expired", TLSConfig{late, lateKey}, "expired"},
		{"a key of another certificate", TLSConfig{good, lateKey}, "of one certificate"},
		{"a key that others can read", TLSConfig{good, open}, "chmod 600"},
		{"no file", TLSConfig{filepath.Join(dir, "none.pem"), goodKey}, "none.pem"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := openCertificate(tc.files); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
