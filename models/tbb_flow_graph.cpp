// tbb_flow_graph
