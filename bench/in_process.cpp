// HNSW of hnswlib or FAISS in one process, without a server: what the graph itself can do on the same data.
//
// usage: in_process hnswlib|faiss BASE QUERIES LIMITS DIM METRIC THREADS [M EF_CONSTRUCTION]
//   BASE, QUERIES   raw float32 vectors; under METRIC cosine they are normalised here and compared by L2
//   LIMITS          raw float64, one per query: squared distance up to which a row counts as one of the 10 nearest
// It builds with THREADS threads and prints a line of JSON; then it answers commands from standard input, each with a
// line of JSON, until the input ends: "recall EF" (all queries), "speed EF SECONDS" (one thread, queries in a row).
// Distances that decide on recall are computed here in double, not taken from the library.
#include <faiss/IndexHNSW.h>
#include <hnswlib/hnswlib.h>
#include <omp.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int kNearest = 10;

double Now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Data {
    size_t dim = 0;
    int m = 16;
    int ef_construction = 64;
    int threads = 1;
    std::vector<float> base;
    std::vector<float> queries;
    std::vector<double> limits;
    size_t BaseRows() const { return base.size() / dim; }
    size_t QueryRows() const { return queries.size() / dim; }
    const float* Query(size_t i) const { return &queries[i * dim]; }
};

template <typename T>
std::vector<T> ReadFile(const char* path) {
    std::ifstream in(path, std::ios::binary | std::ios::ate);
    if (!in) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    std::vector<T> out(static_cast<size_t>(in.tellg()) / sizeof(T));
    in.seekg(0);
    in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size() * sizeof(T)));
    return out;
}

void Normalise(std::vector<float>& vectors, size_t dim) {
    for (size_t start = 0; start < vectors.size(); start += dim) {
        double sum = 0;
        for (size_t i = 0; i < dim; i++)
            sum += double{vectors[start + i]} * vectors[start + i];
        for (size_t i = 0; i < dim; i++)
            vectors[start + i] = static_cast<float>(vectors[start + i] / std::sqrt(sum));
    }
}

class Graph {
  public:
    virtual ~Graph() = default;
    virtual void Build(const Data& data) = 0;
    // the ids of the nearest to one query; fewer than kNearest when the library finds no more
    virtual void Search(const float* query, int ef, std::vector<int64_t>& ids) = 0;
    virtual size_t Bytes() const = 0;
};

class HnswlibGraph : public Graph {
  public:
    void Build(const Data& data) override {
        space_ = std::make_unique<hnswlib::L2Space>(data.dim);
        graph_ = std::make_unique<hnswlib::HierarchicalNSW<float>>(space_.get(), data.BaseRows(), data.m,
                                                                   data.ef_construction);
        graph_->addPoint(data.base.data(), 0);
#pragma omp parallel for schedule(dynamic, 64) num_threads(data.threads)
        for (size_t i = 1; i < data.BaseRows(); i++)
            graph_->addPoint(&data.base[i * data.dim], i);
    }

    void Search(const float* query, int ef, std::vector<int64_t>& ids) override {
        graph_->setEf(static_cast<size_t>(ef));
        auto found = graph_->searchKnn(query, kNearest);
        ids.clear();
        for (; !found.empty(); found.pop())
            ids.push_back(static_cast<int64_t>(found.top().second));
    }

    size_t Bytes() const override {
        return graph_->indexFileSize();
    }

  private:
    std::unique_ptr<hnswlib::L2Space> space_;
    std::unique_ptr<hnswlib::HierarchicalNSW<float>> graph_;
};

class FaissGraph : public Graph {
  public:
    void Build(const Data& data) override {
        graph_ = std::make_unique<faiss::IndexHNSWFlat>(static_cast<int>(data.dim), data.m);
        graph_->hnsw.efConstruction = data.ef_construction;
        graph_->add(static_cast<faiss::idx_t>(data.BaseRows()), data.base.data());
        bytes_ = data.base.size() * sizeof(float) + graph_->hnsw.neighbors.size() * sizeof(graph_->hnsw.neighbors[0]) +
                 graph_->hnsw.offsets.size() * sizeof(graph_->hnsw.offsets[0]);
    }

    void Search(const float* query, int ef, std::vector<int64_t>& ids) override {
        float distances[kNearest];
        faiss::idx_t labels[kNearest];
        graph_->hnsw.efSearch = ef;
        graph_->search(1, query, kNearest, distances, labels);
        ids.assign(labels, labels + kNearest);
    }

    size_t Bytes() const override { return bytes_; }

  private:
    std::unique_ptr<faiss::IndexHNSWFlat> graph_;
    size_t bytes_ = 0;
};

double SquaredDistance(const float* a, const float* b, size_t dim) {
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    return sum;
}

// A vector that was normalised in float32 lies off its place by a rounding error: under cosine the limit gets that
// much.
double RecallAt(Graph& graph, const Data& data, int ef, double slack) {
    size_t hits = 0;
    std::vector<int64_t> ids;
    for (size_t q = 0; q < data.QueryRows(); q++) {
        graph.Search(data.Query(q), ef, ids);
        for (int64_t id : ids) {
            if (id < 0) continue;
            double d = SquaredDistance(&data.base[static_cast<size_t>(id) * data.dim], data.Query(q), data.dim);
            if (d <= data.limits[q] + slack) hits++;
        }
    }
    return static_cast<double>(hits) / static_cast<double>(kNearest * data.QueryRows());
}

double SpeedAt(Graph& graph, const Data& data, int ef, double seconds) {
    std::vector<int64_t> ids;
    size_t count = 0;
    double started = Now();
    double now = started;
    for (; now - started < seconds; now = Now(), count++)
        graph.Search(data.Query(count % data.QueryRows()), ef, ids);
    return static_cast<double>(count) / (now - started);
}

// Ends with the input.
void Answer(Graph& graph, const Data& data, double slack) {
    std::string line;
    while (std::getline(std::cin, line)) {
        std::istringstream words(line);
        std::string command;
        int ef = 0;
        double seconds = 1;
        words >> command >> ef;
        if (command == "recall") {
            printf("{\"ef\": %d, \"recall\": %.6f}\n", ef, RecallAt(graph, data, ef, slack));
        } else {
            words >> seconds;
            printf("{\"ef\": %d, \"qps\": %.3f}\n", ef, SpeedAt(graph, data, ef, seconds));
        }
        fflush(stdout);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 8) {
        fprintf(stderr, "usage: in_process hnswlib|faiss BASE QUERIES LIMITS DIM METRIC THREADS [M EF_CONSTRUCTION]\n");
        return 1;
    }
    Data data;
    bool cosine = std::string(argv[6]) == "cosine";
    data.base = ReadFile<float>(argv[2]);
    data.queries = ReadFile<float>(argv[3]);
    data.limits = ReadFile<double>(argv[4]);
    data.dim = std::stoul(argv[5]);
    data.threads = std::stoi(argv[7]);
    if (argc > 9) {
        data.m = std::stoi(argv[8]);
        data.ef_construction = std::stoi(argv[9]);
    }
    if (cosine) {
        Normalise(data.base, data.dim);
        Normalise(data.queries, data.dim);
    }
    std::unique_ptr<Graph> graph;
    if (std::string(argv[1]) == "faiss") {
        graph = std::make_unique<FaissGraph>();
    } else {
        graph = std::make_unique<HnswlibGraph>();
    }
    omp_set_num_threads(data.threads);
    double started = Now();
    graph->Build(data);
    printf("{\"build_seconds\": %.3f, \"bytes\": %zu, \"threads\": %d}\n", Now() - started, graph->Bytes(),
           data.threads);
    fflush(stdout);
    omp_set_num_threads(1);
    Answer(*graph, data, cosine ? 1e-7 : 0.0);
    return 0;
}
